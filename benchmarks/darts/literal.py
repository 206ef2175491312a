"""DARTS as the paper writes it: what the step of nasdet is compared with. This file stays as it is.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055. Each operation of each edge
runs in turn and is weighted (equation 2); the virtual step is made in a full copy of the network (equations 5 to 8).
It needs torch alone.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OPERATIONS = ('none', 'max3', 'avg3', 'id', 'sep3', 'sep5', 'dil3', 'dil5')


class Zero(nn.Module):
    """Nothing."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x[:, :, ::self.stride, ::self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    """ReLU, two convolutions of stride 2, the second a pixel further, BN."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.first = nn.Conv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce a map of even size."""
        x = F.relu(x)
        return self.norm(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], dim=1))


def relu_conv(in_channels: int, channels: int) -> nn.Module:
    """Return what brings a cell's input to its width."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(in_channels, channels, 1, bias=False),
                         nn.BatchNorm2d(channels, affine=False))


def separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """Return the layers of one separable convolution."""
    return [nn.ReLU(), nn.Conv2d(channels, channels, kernel, stride, dilation * (kernel // 2), dilation,
                                 groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels, affine=False)]


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """Return an operation of section A.1."""
    if name == 'none':
        return Zero(stride)
    if name == 'max3':
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), nn.BatchNorm2d(channels, affine=False))
    if name == 'avg3':
        return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False),
                             nn.BatchNorm2d(channels, affine=False))
    if name == 'id':
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    kernel = int(name[-1])
    if name.startswith('dil'):
        return nn.Sequential(*separable(channels, kernel, stride, dilation=2))
    return nn.Sequential(*separable(channels, kernel, stride), *separable(channels, kernel, 1))


class MixedOperation(nn.Module):
    """Equation 2."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.operations = nn.ModuleList(operation(name, channels, stride) for name in OPERATIONS)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of all operations."""
        return sum(weight * layer(x) for weight, layer in zip(weights, self.operations, strict=True))


class Cell(nn.Module):
    """A cell of which each node reads all before it."""

    def __init__(self, nodes: int, before: int, last: int, channels: int, reduction: bool, after_reduction: bool):
        super().__init__()
        self.nodes = nodes
        self.inputs = nn.ModuleList([FactorizedReduce(before, channels) if after_reduction
                                     else relu_conv(before, channels), relu_conv(last, channels)])
        self.edges = nn.ModuleList(MixedOperation(channels, 2 if reduction and state < 2 else 1)
                                   for node in range(nodes) for state in range(2 + node))

    def forward(self, before: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Return the concatenation of the nodes."""
        states = [self.inputs[0](before), self.inputs[1](last)]
        edges = iter(zip(self.edges, weights, strict=True))
        for _ in range(self.nodes):
            states.append(sum(edge(state, row) for state, (edge, row) in zip(list(states), edges, strict=False)))
        return torch.cat(states[2:], dim=1)


class Network(nn.Module):
    """The stack of cells of the search, with reductions after a third and two thirds."""

    def __init__(self, width: int, cells: int, classes: int, nodes: int = 4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
        before = last = 3 * width
        self.cells, self.reductions, after_reduction = nn.ModuleList(), (cells // 3, 2 * cells // 3), False
        for index in range(cells):
            reduction = index in self.reductions
            width *= 2 if reduction else 1
            self.cells.append(Cell(nodes, before, last, width, reduction, after_reduction))
            before, last, after_reduction = last, nodes * width, reduction
        self.fc = nn.Linear(last, classes)
        edges = sum(2 + node for node in range(nodes))
        self.alphas = nn.ParameterList(nn.Parameter(1e-3 * torch.randn(edges, len(OPERATIONS))) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        before = last = self.stem(images)
        for index, cell in enumerate(self.cells):
            weights = self.alphas[int(index in self.reductions)].softmax(dim=1)
            before, last = last, cell(before, last, weights)
        return self.fc(last.mean(dim=(2, 3)))

    def weights(self) -> list[nn.Parameter]:
        """Return all parameters but the architecture's."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith('alphas')]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the cross entropy on images and labels."""
        images, labels = batch
        return F.cross_entropy(self(images), labels)


def architecture_gradients(network: Network, optimizer: torch.optim.SGD, training: tuple, validation: tuple,
                           order: int) -> list[Tensor]:
    """Return the gradients of the architecture parameters: equation 7, or its first term with xi = 0."""
    alphas, weights, group = list(network.alphas), network.weights(), optimizer.param_groups[0]
    if order == 1:
        return list(torch.autograd.grad(network.loss(validation), alphas))
    virtual = copy.deepcopy(network)
    gradients = torch.autograd.grad(virtual.loss(training), virtual.weights())
    with torch.no_grad():
        for stepped, weight, gradient in zip(virtual.weights(), weights, gradients, strict=True):
            momentum = optimizer.state[weight].get('momentum_buffer', torch.zeros_like(weight))
            stepped -= group['lr'] * (group['momentum'] * momentum + gradient + group['weight_decay'] * weight)
    found = torch.autograd.grad(virtual.loss(validation), [*virtual.alphas, *virtual.weights()])
    direct, direction = found[:len(alphas)], found[len(alphas):]
    epsilon = 0.01 / torch.cat([part.reshape(-1) for part in direction]).norm()
    above = gradients_after_moving(network, training, weights, direction, epsilon)
    below = gradients_after_moving(network, training, weights, direction, -2 * epsilon)
    move(weights, direction, epsilon)
    return [first - group['lr'] * (up - down) / (2 * epsilon)
            for first, up, down in zip(direct, above, below, strict=True)]


@torch.no_grad()
def move(weights: list[Tensor], direction: tuple[Tensor, ...], distance: Tensor) -> None:
    """Add a direction to the weights."""
    for weight, part in zip(weights, direction, strict=True):
        weight += distance * part


def gradients_after_moving(network: Network, training: tuple, weights: list[Tensor], direction: tuple[Tensor, ...],
                           distance: Tensor) -> tuple[Tensor, ...]:
    """Move the weights and return the training loss's gradients for the architecture."""
    move(weights, direction, distance)
    return torch.autograd.grad(network.loss(training), list(network.alphas))


def step(network: Network, optimizer: torch.optim.SGD, adam: torch.optim.Adam, training: tuple, validation: tuple,
         order: int) -> None:
    """Make a step of the architecture and one of the weights (algorithm 1)."""
    gradients = architecture_gradients(network, optimizer, training, validation, order)
    for alpha, gradient in zip(network.alphas, gradients, strict=True):
        alpha.grad = gradient
    adam.step()
    network.zero_grad()
    network.loss(training).backward()
    torch.nn.utils.clip_grad_norm_(network.weights(), 5)
    optimizer.step()
    network.zero_grad()
