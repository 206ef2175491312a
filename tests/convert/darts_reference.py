"""A network with the layers and the weight names of github.com/quark0/darts, as far as its checkpoints show them."""

import torch
import torch.nn.functional as F
from torch import nn

GENOTYPE_NAMES = dict(id='skip_connect', sep3='sep_conv_3x3', dil3='dil_conv_3x3', dil5='dil_conv_5x5',
                      max3='max_pool_3x3', avg3='avg_pool_3x3', conv17_71='conv_7x1_1x7', sep5='sep_conv_5x5')


class Op(nn.Module):
    """Layers under the name ``op``."""

    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class Reduce(nn.Module):
    """Two strided 1x1 convolutions after a ReLU."""

    def __init__(self, channels, width):
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels, width // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def project(channels, width):
    return Op(nn.ReLU(), nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))


def half(width, kernel, stride, dilation=1):
    depthwise = nn.Conv2d(width, width, kernel, stride, dilation * (kernel // 2), dilation, groups=width, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)]


def operation(name, width, stride):
    match name.split('_'):
        case ['skip', _]:
            return nn.Identity() if stride == 1 else Reduce(width, width)
        case ['max', *_]:
            return nn.MaxPool2d(3, stride, 1)
        case ['avg', *_]:
            return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        case ['sep', _, size]:
            return Op(*half(width, int(size[0]), stride), *half(width, int(size[0]), 1))
        case ['dil', _, size]:
            return Op(*half(width, int(size[0]), stride, dilation=2))
        case _:
            return nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, (1, 7), (1, stride), (0, 3), bias=False),
                                 nn.Conv2d(width, width, (7, 1), (stride, 1), (3, 0), bias=False),
                                 nn.BatchNorm2d(width))


class ReferenceCell(nn.Module):
    """One cell; its operations lie in ``_ops``, two a block."""

    def __init__(self, cell, before, last, width, reduction, reduced_before):
        super().__init__()
        self.cell = cell
        self.preprocess0 = Reduce(before, width) if reduced_before else project(before, width)
        self.preprocess1 = project(last, width)
        self._ops = nn.ModuleList(
            operation(GENOTYPE_NAMES[op], width, 2 if reduction and state < 2 else 1)
            for block in cell['blocks'] for state, op in (block[0:2], block[2:4]))

    def forward(self, before, last):
        states = [self.preprocess0(before), self.preprocess1(last)]
        for index, block in enumerate(self.cell['blocks']):
            states.append(self._ops[2 * index](states[block[0]]) + self._ops[2 * index + 1](states[block[2]]))
        return torch.cat([states[state] for state in self.cell['concat']], dim=1)


class ReferenceNetwork(nn.Module):
    """The network for CIFAR-10, or for ImageNet."""

    def __init__(self, genotype, width, layers, classes, imagenet):
        super().__init__()
        self.imagenet, self.auxiliary_after = imagenet, 2 * layers // 3
        before = last = width if imagenet else 3 * width
        if imagenet:
            self.stem0 = nn.Sequential(
                nn.Conv2d(3, width // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU(),
                nn.Conv2d(width // 2, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width))
            self.stem1 = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width))
        else:
            self.stem = nn.Sequential(nn.Conv2d(3, last, 3, padding=1, bias=False), nn.BatchNorm2d(last))
        self.cells, reduced = nn.ModuleList(), imagenet
        for index in range(layers):
            reduction = index in (layers // 3, 2 * layers // 3)
            width *= 2 if reduction else 1
            cell = genotype['reduce' if reduction else 'normal']
            self.cells.append(ReferenceCell(cell, before, last, width, reduction, reduced))
            before, last, reduced = last, len(cell['concat']) * width, reduction
            if index == self.auxiliary_after:
                self.auxiliary_head = self._auxiliary(last, classes)
        self.classifier = nn.Linear(last, classes)

    def _auxiliary(self, channels, classes):
        norm = [] if self.imagenet else [nn.BatchNorm2d(768)]
        head = nn.Module()
        head.features = nn.Sequential(
            nn.ReLU(), nn.AvgPool2d(5, 2 if self.imagenet else 3), nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False), *norm, nn.ReLU())
        head.classifier = nn.Linear(768, classes)
        return head

    def forward(self, images):
        if self.imagenet:
            before = self.stem0(images)
            last = self.stem1(before)
        else:
            before = last = self.stem(images)
        for index, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            if index == self.auxiliary_after:
                auxiliary = self.auxiliary_head.classifier(self.auxiliary_head.features(last).flatten(1))
        return self.classifier(last.mean(dim=(2, 3))), auxiliary
