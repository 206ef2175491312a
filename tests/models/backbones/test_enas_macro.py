"""The final and the shared network of ENAS's macro search."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdet import zoo
from nasdet.models.backbones import ENASMacroNet, ENASMacroSupernet

OPS = ('conv3', 'sep5', 'max3')
LAYERS = [dict(op='sep5', skips=[]), dict(op='max3', skips=[0]), dict(op='conv3', skips=[0])]
PATH = dict(layers=LAYERS)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize('separable, params', [(True, 30_947_424), (False, 42_559_392)])
def test_parameters_of_the_published_network(separable, params):
    with torch.device('meta'):
        assert parameters(zoo.build('enas_macro_cifar', separable=separable)) == params


def test_parameters_of_the_published_search():
    """12 layers of width 36: the numbers follow from section 2.3 and the layers of the authors' code."""
    def conv(kernel, inputs=36):
        return kernel * kernel * inputs * 36 + 2 * 36           # with scale and offset

    def separable(kernel):
        return kernel * kernel * 36 + 36 * 36 + 2 * 36

    branches = 6 * conv(1) + conv(3) + conv(5) + separable(3) + separable(5)
    reductions = (4 + 1 + 8 + 1) * conv(1)      # after layers 4 and 8, of the stem and all layers so far
    expected = conv(3, inputs=3) + 12 * branches + 11 * 2 * 36 + reductions + 36 * 10
    with torch.device('meta'):
        network = ENASMacroSupernet(12, ('conv3', 'sep3', 'conv5', 'sep5', 'avg3', 'max3'), 36, 10)
    assert parameters(network) == expected
    assert not list(network.buffers())          # no running statistics


def norm(x, layer):
    mean, variance = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    scale, offset = layer.weight[:, None, None], layer.bias[:, None, None]
    return (x - mean) / (variance + 1e-5).sqrt() * scale + offset


def conv(x, layers):
    return norm(F.conv2d(x, layers.conv.weight, padding=layers.conv.weight.shape[-1] // 2), layers.norm)


def separable(x, layers):
    x = F.conv2d(x, layers.depthwise.weight, padding=2, groups=x.shape[1])
    return norm(F.conv2d(x, layers.pointwise.weight), layers.norm)


def reduced(x, reduction):
    odd = F.pad(x, (0, 1, 0, 1))[..., 1:, 1:]       # shifted by one pixel, zeros behind the edge
    halves = [F.conv2d(part, path.weight, stride=2)
              for part, path in ((x, reduction.path1), (odd, reduction.path2))]
    return norm(torch.cat(halves, dim=1), reduction.norm)


def build(network, *arguments, **options):
    torch.manual_seed(0)
    return network(*arguments, width=4, num_classes=3, **options).double()


def images():
    return torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def supernet():
    network = build(ENASMacroSupernet, 3, OPS)
    network.set_path(PATH)
    return network


def test_a_path_of_the_shared_network_is_the_sum_that_it_says():
    network = supernet()
    stem = norm(F.conv2d(images(), network.stem.conv.weight, padding=1), network.stem.norm)
    first = network.branches[0]['sep5']
    one = F.relu(separable(F.relu(conv(stem, first.squeeze)), first.op))
    stem, one = (reduced(x, reduction) for x, reduction in zip((stem, one), network.reductions['1'], strict=True))
    two = F.max_pool2d(F.relu(conv(one, network.branches[1]['max3'].squeeze)), 3, 1, 1)
    two = norm(two + stem, network.norms[0])
    stem, _, two = (reduced(x, reduction) for x, reduction in zip((stem, one, two), network.reductions['2'],
                                                                  strict=True))
    last = network.branches[2]['conv3']
    three = norm(F.relu(conv(F.relu(conv(two, last.squeeze)), last.op)) + stem, network.norms[1])
    expected = F.linear(three.mean(dim=(2, 3)), network.fc.weight)
    torch.testing.assert_close(network(images()), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network.eval()(images()), expected, rtol=1e-10, atol=1e-12)


def test_what_a_path_does_not_use_gets_no_gradient():
    network = supernet()
    network(images()).sum().backward()
    idle = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    path = {f'branches.{index}.{layer["op"]}.' for index, layer in enumerate(LAYERS)}
    unread = {'reductions.2.1.'}                # the first layer's output, which no layer after the second reads
    for name, _ in network.named_parameters():
        used = name.startswith(tuple(path)) or not name.startswith(('branches.', *unread))
        assert (name in idle) == (not used), name


def test_the_final_network_is_what_it_says():
    network = build(ENASMacroNet, PATH).train()
    stem = norm(F.conv2d(images(), network.stem.conv.weight, padding=1), network.stem.norm)
    one = separable(F.relu(conv(F.relu(stem), network.layers[0].branch.squeeze)), network.layers[0].branch.op)
    stem, one = (reduced(x, reduction) for x, reduction in zip((stem, one), network.reductions['1'], strict=True))
    two = F.max_pool2d(F.relu(conv(F.relu(one), network.layers[1].branch.squeeze)), 3, 1, 1)
    two = conv(F.relu(torch.cat([stem, two], dim=1)), network.layers[1].join)
    stem, one, two = (reduced(x, reduction) for x, reduction in zip((stem, one, two), network.reductions['2'],
                                                                    strict=True))
    last = network.layers[2].branch
    three = conv(F.relu(conv(F.relu(two), last.squeeze)), last.op)
    three = conv(F.relu(torch.cat([stem, three], dim=1)), network.layers[2].join)
    assert three.shape == (3, 16, 2, 2)
    torch.testing.assert_close(network(images()), F.linear(three.mean(dim=(2, 3)), network.fc.weight), rtol=1e-10,
                               atol=1e-12)


def test_full_convolutions_in_the_place_of_separable_ones():
    kernels = [module for module in build(ENASMacroNet, PATH, separable=False).modules()
               if isinstance(module, nn.Conv2d) and module.kernel_size == (5, 5)]
    assert [(kernel.groups, kernel.out_channels) for kernel in kernels] == [(1, 4)]


@pytest.mark.parametrize('value, words', [
    (dict(LAYERS=[]), 'has the key layers, not'),
    (dict(layers=LAYERS[:2]), 'at least 3 layers'),
    (dict(layers=[dict(op='conv7', skips=[]), *LAYERS[1:]]), 'op of layer 1 is one of conv3, .* not .conv7'),
    (dict(layers=[dict(op='conv3', skips=[0]), *LAYERS[1:]]), 'skips of layer 1 are some of none'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3', skips=[2])]), 'skips of layer 3 are some of 0 to 1, ascending'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3', skips=[1, 0])]), r'skips of layer 3 .* not \[1, 0\]'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3', skips=0)]), 'skips of layer 3 are a list, not 0'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3', skips=[None, 0])]), r'skips of layer 3 .* not \[None, 0\]'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3', skips=[1.0])]), r'skips of layer 3 .* not \[1\.0\]'),
    (dict(layers=[*LAYERS[:2], dict(op='conv3')]), 'layer 3 has the keys op and skips')])
def test_refuses_what_is_no_genotype(value, words):
    for network in (lambda: build(ENASMacroNet, value), lambda: build(ENASMacroSupernet, 3, OPS).set_path(value)):
        with pytest.raises(ValueError, match=words):
            network()


def test_a_supernet_refuses_genotypes_of_other_ones():
    with pytest.raises(ValueError, match='3 layers, the genotype 4'):
        supernet().set_path(dict(layers=[*LAYERS, LAYERS[0]]))
    with pytest.raises(ValueError, match='has the operations conv3, sep5, max3, the genotype wants avg3'):
        supernet().set_path(dict(layers=[dict(op='avg3', skips=[]), *LAYERS[1:]]))
    with pytest.raises(RuntimeError, match='call set_path'):
        build(ENASMacroSupernet, 3, OPS)(images())
