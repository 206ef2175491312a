"""What a search of cells found in the published final training, by the option that the methods' READMEs name."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from nasdet import cli, zoo
from nasdet.config import load_config
from nasdet.models.meta import build_on_meta
from nasdet.registry import SPACES, build
from tests.test_readme import commands

CONFIGS = Path(__file__).parents[1] / 'configs'
OPTION = 'model.backbone.genotype'
# Final training: the search that finds a genotype for it, and what makes its network small.
FINAL = {
    'darts/darts_v2_cifar10.py': ('darts/darts_cifar10_second_order.py', 'num_cells=(1, 1, 1), width=4, '
                                                                         'auxiliary_head=dict(cell=3)'),
    'enas/enas_micro_cifar10.py': ('enas/enas_micro_cifar10_search.py', 'num_cells=(1, 1, 1), width=4, '
                                                                        'auxiliary_head=dict(cell=3)'),
    'enas/enas_macro_cifar10.py': ('enas/enas_macro_cifar10_search.py', 'width=4'),
    'nasnet/nasnet_a_6_768_cifar10.py': ('nasnet/nasnet_cifar10_ppo.py', 'num_cells=(1, 1, 1), width=4'),
    'amoebanet/amoebanet_a_cifar10.py': ('amoebanet/amoebanet_cifar10_evolution.py', 'num_cells=(1, 1, 1), width=4'),
    'pnas/pnasnet_5_cifar10.py': ('pnas/pnas_cifar10_progressive.py', 'num_cells=(1, 1, 1), width=4')}
FEW_DIGITS = """
digits = dict(_delete_=True, type='HandwrittenDigits', size=32, train_size=32, val_size=32, test_size=32)
train_dataloader = dict(batch_size=16, num_workers=0, dataset=dict(split='trainval', **digits))
test_dataloader = dict(num_workers=0, dataset=dict(split='test', **digits))
train_cfg = dict(max_epochs=1)
"""
names = itertools.count()


def found(search: str, folder: Path) -> Path:
    """Return the file of a genotype of a search's space."""
    path = folder / 'genotype.json'
    space = build(SPACES, load_config(str(CONFIGS / search)).search.space)
    path.write_text(space.sample(np.random.default_rng(0)).to_json())
    return path


@pytest.mark.parametrize('final', FINAL)
def test_the_readme_says_how(final):
    readme = CONFIGS / Path(final).parent / 'README.md'
    lines = [line for line in commands(readme.read_text()) if line.startswith(f'nasdet train configs/{final} ')]
    assert len(lines) == 1 and f'{OPTION}=work_dirs/' in lines[0] and lines[0].endswith('/best/genotype.json')


def test_the_network_is_the_published_one_with_the_found_cells(tmp_path):
    path = tmp_path / 'genotype.json'
    path.write_text(zoo.load('darts_v1_cifar').to_json())
    model = build_on_meta(load_config(str(CONFIGS / 'darts/darts_v2_cifar10.py'), {OPTION: str(path)}).model)
    sizes = {name: weight.numel() for name, weight in model.backbone.named_parameters()}
    auxiliary = sum(size for name, size in sizes.items() if name.startswith('auxiliary_head'))
    assert auxiliary == 476_426 and sum(sizes.values()) - auxiliary == zoo.entry('darts_v1_cifar')['exact']['params']
    assert len(model.backbone.cells) == 20 and model.backbone.drop_path == 0.2


@pytest.mark.parametrize('final', [
    pytest.param(name, marks=[] if name.startswith('darts') else [pytest.mark.slow]) for name in FINAL])
def test_a_found_genotype_is_trained_and_tested(final, tmp_path):
    search, smaller = FINAL[final]
    config = tmp_path / 'final.py'
    config.write_text(f'_base_ = [{str(CONFIGS / final)!r}]\n{FEW_DIGITS}\nmodel = dict(backbone=dict({smaller}))\n')
    genotype = f'{OPTION}={found(search, tmp_path)}'
    for command in (['train', config], ['test', config, tmp_path / 'work' / 'epoch_1.pth']):
        options = ['--work-dir', tmp_path / 'work', '--cfg-options', genotype, f'experiment_name=final_{next(names)}']
        assert cli.main([*map(str, command), *map(str, options)]) == 0
    trained = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=False)['state_dict']
    published = build_on_meta(load_config(str(config)).model).state_dict()
    assert trained.keys() != published.keys()       # of the found cells, not of those that the config names
