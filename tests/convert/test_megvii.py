"""Official DetNAS weights under our names: against the official network, written out with functions of torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nasdet import zoo
from nasdet.convert import detnas
from nasdet.models.backbones import DetNASNet, DetNASSupernet
from tests.models.backbones.helpers import DEPTHS, HEAD, MIXED, STAGES, STEM, WIDTHS, choice_genotype

OFFICIAL = dict(shuffle3='shufflenet_3x3', shuffle5='shufflenet_5x5', shuffle7='shufflenet_7x7',
                xception='xception_3x3')
KERNEL = dict(shuffle3=3, shuffle5=5, shuffle7=7, xception=3)


# ---- names and shapes of the files


def norm(name, channels):
    return {f'{name}.weight': (channels,), f'{name}.bias': (channels,), f'{name}.running_mean': (channels,),
            f'{name}.running_var': (channels,), f'{name}.num_batches_tracked': ()}


def pointwise(prefix, name, inputs, outputs):
    return {f'{prefix}.interstellar{name}.weight': (outputs, inputs, 1, 1), **norm(f'{prefix}.bn{name}', outputs)}


def separable(prefix, name, inputs, outputs, kernel):
    spatial = f'{prefix}.interstellar{name}_s'
    return {f'{spatial}.weight': (inputs, 1, kernel, kernel), **norm(f'{spatial}_bn', inputs),
            **pointwise(prefix, name, inputs, outputs)}


def block(prefix, label, kind, inputs, outputs):
    first, kernel, width = label.endswith('a'), KERNEL[kind], outputs // 2
    name = f'{label}_{OFFICIAL[kind]}_branch2'
    enter, leave = (inputs, outputs - inputs) if first else (outputs // 2, outputs // 2)
    if kind == 'xception':
        shapes = {**separable(f'{prefix}.conv.0', f'{name}a', enter, width, 3),
                  **separable(f'{prefix}.conv.1', f'{name}b', width, width, 3),
                  **separable(f'{prefix}.conv.2', f'{name}c', width, leave, 3)}
    else:
        shapes = {**pointwise(f'{prefix}.conv.0', f'{name}a', enter, width),
                  **separable(f'{prefix}.conv.1', f'{name}b', width, leave, kernel)}
    return {**shapes, **separable(f'{prefix}.proj_conv', f'{label}_proj', inputs, inputs, kernel)} if first else shapes


def places(stem, widths, depths):
    """Yield (index in features, label, channels before, channels after) of each block."""
    index, before = 0, stem
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for letter in 'abcdefghijklmnop'[:depth]:
            yield index, f'{stage}{letter}', before, width
            index, before = index + 1, width


def stem_shapes(stem):
    return {'first_conv.conv.weight': (stem, 3, 3, 3), 'first_conv.conv.bias': (stem,), **norm('first_conv.bn', stem)}


def head_shapes(inputs, head, classes):
    return {'last_conv.conv.weight': (head, inputs, 1, 1), 'last_conv.conv.bias': (head,),
            **norm('last_conv.bn', head), 'fc.fc.weight': (classes, head), 'fc.fc.bias': (classes,)}


def official_shapes(stem, stages, head, classes):
    """Return name -> shape of an official file; stages are (channels, kinds)."""
    kinds = [kind for _, blocks in stages for kind in blocks]
    shapes = stem_shapes(stem)
    for index, label, before, width in places(stem, [w for w, _ in stages], [len(blocks) for _, blocks in stages]):
        shapes.update(block(f'features.{index}', label, kinds[index], before, width))
    return {**shapes, **head_shapes(stages[-1][0], head, classes)}


def supernet_shapes():
    shapes = stem_shapes(STEM)
    for index, label, before, width in places(STEM, WIDTHS, DEPTHS):
        for choice, kind in enumerate(OFFICIAL):
            shapes.update(block(f'features.{index}.{choice}', label, kind, before, width))
    return {**shapes, **head_shapes(WIDTHS[-1], HEAD, 5)}


def filled(shapes):
    torch.manual_seed(0)
    return {name: torch.tensor(7) if name.endswith('tracked') else torch.rand(shape) + 0.1
            if name.endswith('_var') else 0.5 * torch.randn(shape) for name, shape in shapes.items()}


def small_file():
    return filled(official_shapes(STEM, list(zip(WIDTHS, MIXED, strict=True)), HEAD, 5))


# ---- the official network, from such a file


class Official:
    def __init__(self, state):
        self.state = state

    def __call__(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm('first_conv.bn', self.conv('first_conv.conv', x, stride=2)))
        kinds = [kind for blocks in MIXED for kind in blocks]
        for index, label, _, _ in places(STEM, WIDTHS, DEPTHS):
            x = self.block(f'features.{index}', label, kinds[index], x)
        x = F.relu(self.norm('last_conv.bn', self.conv('last_conv.conv', x)))
        return F.linear(x.mean((2, 3)), self.state['fc.fc.weight'], self.state['fc.fc.bias'])

    def block(self, prefix, label, kind, x):
        name, stride = f'{label}_{OFFICIAL[kind]}_branch2', 1
        if label.endswith('a'):
            passed, stride = F.relu(self.separable(f'{prefix}.proj_conv', f'{label}_proj', x, 2)), 2
        else:
            passed, x = x[:, 0::2], x[:, 1::2]
        if kind == 'xception':
            x = F.relu(self.separable(f'{prefix}.conv.0', f'{name}a', x, stride))
            x = F.relu(self.separable(f'{prefix}.conv.1', f'{name}b', x, 1))
            x = self.separable(f'{prefix}.conv.2', f'{name}c', x, 1)
        else:
            x = F.relu(self.pointwise(f'{prefix}.conv.0', f'{name}a', x))
            x = self.separable(f'{prefix}.conv.1', f'{name}b', x, stride)
        return torch.cat([passed, F.relu(x)], 1)

    def separable(self, prefix, name, x, stride):
        spatial = f'{prefix}.interstellar{name}_s'
        x = self.norm(f'{spatial}_bn', self.conv(spatial, x, stride, groups=x.shape[1]))
        return self.pointwise(prefix, name, x)

    def pointwise(self, prefix, name, x):
        return self.norm(f'{prefix}.bn{name}', self.conv(f'{prefix}.interstellar{name}', x))

    def conv(self, name, x, stride=1, groups=1):
        weight = self.state[f'{name}.weight']
        return F.conv2d(x, weight, self.state.get(f'{name}.bias'), stride, weight.shape[-1] // 2, groups=groups)

    def norm(self, name, x):
        return F.batch_norm(x, *(self.state[f'{name}.{part}'] for part in
                                 ('running_mean', 'running_var', 'weight', 'bias')))


def test_the_converted_network_computes_what_the_official_one_does():
    state = small_file()
    network = DetNASNet(choice_genotype(shuffle='even_odd'), head=True, num_classes=5).eval()
    network.load_state_dict(detnas(state), strict=True)
    images = torch.randn(2, 3, 64, 48)
    expected = Official(state)(images)
    assert expected.std() > 0.01
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['detnas_coco_fpn_300m', 'detnas_coco_retinanet_300m', 'detnas_coco_fpn_1.3g'])
def test_files_of_published_networks_fit_the_zoo(name):
    value = zoo.load(name).plain()
    shapes = official_shapes(value['stem_channels'], [(stage['channels'], stage['blocks'])
                                                      for stage in value['stages']], value['head_channels'], 1000)
    with torch.device('meta'):
        network = zoo.build(name, head=True)
        state = {key: torch.empty(shape) for key, shape in shapes.items()}
    ours = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert {key: tensor.shape for key, tensor in detnas(state).items()} == ours


def test_the_supernets_file_fits_ours():
    state = filled(supernet_shapes())
    supernet = DetNASSupernet(STAGES, stem_channels=STEM, head_channels=HEAD, head=True, num_classes=5)
    supernet.load_state_dict(detnas(state), strict=True)
    theirs = state['features.5.3.conv.2.bn3c_xception_3x3_branch2c.running_var']
    assert torch.equal(supernet.stages[2][2]['xception'].branch[13].running_var, theirs)


def test_a_file_of_old_torch_of_several_gpus_and_without_the_head():
    state = {f'module.{name}': tensor for name, tensor in small_file().items()
             if not name.startswith(('last_conv', 'fc')) and not name.endswith('tracked')}
    network = DetNASNet(choice_genotype(shuffle='even_odd'))
    network.load_state_dict(detnas(state), strict=True)
    assert torch.equal(network.stem[0].bias, state['module.first_conv.conv.bias'])


@pytest.mark.parametrize('lost', [
    'first_conv.conv.bias', 'features.0.proj_conv.bn1a_proj.weight', 'last_conv.bn.running_mean', 'fc.fc.weight',
    'features.1.conv.2.interstellar1b_xception_3x3_branch2c_s.weight'])
def test_a_missing_name_is_refused(lost):
    state = small_file()
    del state[lost]
    with pytest.raises(ValueError, match=f'missing in these weights of an official DetNAS network: {lost};'):
        detnas(state)


def test_a_missing_block_is_refused():
    state = {name: tensor for name, tensor in small_file().items() if not name.startswith('features.3.')}
    with pytest.raises(ValueError, match='missing in these weights of an official DetNAS network: features.3;'):
        detnas(state)


@pytest.mark.parametrize('name', ['fpn.layer1.weight', 'features.1.proj_conv.bn1b_proj.weight',
                                  'features.0.conv.0.bn1a_shufflenet_9x9_branch2a.weight'])
def test_a_name_of_another_network_is_refused(name):
    with pytest.raises(ValueError, match=f'no names of an official DetNAS network: {name};'):
        detnas({**small_file(), name: torch.zeros(1)})


def test_another_network_is_refused_in_one_line():
    names = ['conv1.weight', 'bn1.weight', *(f'layer{number}.weight' for number in range(9))]
    with pytest.raises(ValueError, match='network: conv1.weight, bn1.weight, layer0.weight, .* and 6 more;') as error:
        detnas(dict.fromkeys(names, torch.zeros(1)))
    assert '\n' not in str(error.value)
