"""The pages docs/add_*.md, followed to the letter: their files written, their commands run, their promises checked."""

import os
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from nasdet.config import load_config
from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.channels import trace_channels
from nasdet.training.importance import Importance

DOCS = Path(__file__).resolve().parents[1] / 'docs'
PAGES = sorted(DOCS.glob('add_*.md'))
FILE = re.compile(r'^`([\w.]+)`:\n\n```python\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r'^```bash\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
TRIALS = 'SELECT status, costs FROM trials ORDER BY trial'


@pytest.fixture(scope='module')
def followed(tmp_path_factory) -> dict[str, Future]:
    """Every page, followed; two at a time, since most of it is waiting for imports."""
    with ThreadPoolExecutor(2) as pool:
        return {page.stem: pool.submit(follow, page, tmp_path_factory.mktemp(page.stem)) for page in PAGES}


def follow(page: Path, folder: Path) -> tuple[Path, list]:
    """Do what a page says in a folder.

    Returns:
        The work dir of its search, and (status, costs as JSON text) of each trial.
    """
    text = page.read_text()
    for name, content in FILE.findall(text):
        (folder / name).write_text(content)
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, 'PATH': f'{programs}{os.pathsep}{os.environ["PATH"]}', 'OMP_NUM_THREADS': '1'}
    commands = ''.join(COMMANDS.findall(text)).splitlines()
    assert len(FILE.findall(text)) == 3 and len(commands) == 2
    for command in commands:
        done = subprocess.run(['bash', '-c', command], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
    work_dir = folder / re.search(r'--work-dir (\S+)', commands[-1]).group(1)
    with sqlite3.connect(work_dir / 'history.sqlite') as history:
        return work_dir, history.execute(TRIALS).fetchall()


def best(work_dir: Path) -> dict:
    assert (work_dir / 'best' / 'config.py').exists() and (work_dir / 'report.html').exists()
    return Genotype.from_json((work_dir / 'best' / 'genotype.json').read_text()).plain()


def test_add_a_space(followed):
    work_dir, trials = followed['add_a_space'].result()
    found = best(work_dir)
    assert [status for status, _ in trials].count('ok') >= 3
    assert (work_dir / 'best' / 'weights.pth').exists()
    config = Config.fromfile(work_dir / 'best' / 'config.py', import_custom_modules=False)
    assert 'search' not in config and config.custom_imports.imports == ['nasdet.models']
    assert (config.model.neck.type, config.model.neck.out_channels) == (found['neck'], found['width'])
    assert config.model.bbox_head.stacked_convs == found['depth']


def test_add_a_searcher(followed):
    work_dir, trials = followed['add_a_searcher'].result()
    assert len(best(work_dir)['cells']) == 7
    assert len(trials) >= 10 and {status for status, _ in trials} == {'ok'}
    assert (work_dir / 'best' / 'weights.pth').exists()


def test_add_an_estimator(followed):
    work_dir, trials = followed['add_an_estimator'].result()
    assert len(best(work_dir)['cells']) == 7
    assert len(trials) >= 30 and {status for status, _ in trials} == {'ok'}
    assert not (work_dir / 'best' / 'weights.pth').exists()


def test_add_a_cost(followed):
    work_dir, trials = followed['add_a_cost'].result()
    assert len(best(work_dir)['cells']) == 7
    steps = [(status, float(re.search(r'"LongestPath\(neck\)": ([\d.]+)', costs).group(1))) for status, costs in trials]
    assert all((status == 'refused') == (cost > 4) for status, cost in steps)
    assert {status for status, _ in steps} == {'ok', 'refused'}
    assert 'over its limit 4' in (work_dir / 'search.log').read_text()


def test_add_a_trainer(followed):
    """Two epochs, then the network cut to half its multiply-adds, by one threshold for the scales of all layers."""
    work_dir, trials = followed['add_a_trainer'].result()
    assert [status for status, _ in trials] == ['ok'] * 3
    found = MODELS.build(Config.fromfile(work_dir / 'best' / 'config.py').model)
    load_checkpoint(found, str(work_dir / 'best' / 'weights.pth'), map_location='cpu', strict=True)
    whole = MODELS.build(load_config('nasdet::morphnet/resnet18_digits.py').model)
    load_checkpoint(whole, str(work_dir / 'training' / 'epoch_2.pth'), map_location='cpu', strict=True)
    macs = [count(model, (3, 32, 32))['macs'] for model in (found, whole)]
    assert 0.4 < macs[0] / macs[1] <= 0.5

    graph, widths = trace_channels(whole, (3, 32, 32)), best(work_dir)['widths']
    scales = Importance(whole, graph)().detach()
    ranked = {name: scales[group.channels].sort(descending=True).values for name, group in graph.groups.items()}
    cut = [scale for name, width in widths.items() for scale in ranked[name][width:].tolist()]
    kept = [scale for name, width in widths.items() if width > 1 for scale in ranked[name][:width].tolist()]
    assert cut and max(cut) < min(kept)


def test_every_page_is_followed():
    assert {f'test_{page.stem}' for page in PAGES} == {name for name in globals() if name.startswith('test_add_')}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_no_code_of_a_page_escapes_the_test(page):
    text = page.read_text()
    assert text.count('```') == 2 * (len(FILE.findall(text)) + len(COMMANDS.findall(text)))
