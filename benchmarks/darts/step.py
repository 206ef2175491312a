"""What DARTS's step costs beside the same step written as in the paper, and beside a step of one fixed network.

    OMP_NUM_THREADS=1 python -m benchmarks.darts.step [--steps 5] [--batch 64] [--cells 8] [--width 16] [--size 32]

``literal.py`` runs each operation in turn and makes the virtual step in a full copy of the network. Both begin with the
same weights, and see the same batches in the same precision on the same threads. They take turns, so that what else the
machine does meets both; the fixed network is a stack of as many cells of the published genotype.

Before anything is timed, both make a step, and their next gradients for the architecture are compared. Wanted: equal to
1e-5 of the largest in float64; at least 1.5 times as fast. The difference in float32 is shown too: of second order it
is large where a rounding moves a value over a kink of ReLU or max pooling, as the finite difference divides by a small
number, and neither side is the truer one.
"""

import argparse
import sys
import time
from types import SimpleNamespace
from typing import Callable, Iterator

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.darts import literal
from nasdet.spaces import DARTSSpace
from nasdet.training import BilevelTrainLoop
from nasdet.training.bilevel import ADAM
from nasdet.zoo import load

CLASSES = 10
SGD = dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4)
LARGEST_DIFFERENCE, LEAST_RATIO = 1e-5, 1.5
ORDERS = (1, 2)
FEW_IMAGES = 8       # for the comparison


def model_config(cells: int, width: int) -> ConfigDict:
    """Return a classifier of cells with reductions after a third and two thirds of them."""
    first, second = cells // 3, 2 * cells // 3
    num_cells = (first, second - first - 1, cells - second - 1)
    backbone = dict(type='CellNetwork', genotype=load('darts_v2_cifar').plain(), num_cells=num_cells, width=width,
                    num_classes=CLASSES, final_relu=False)
    return ConfigDict(type='ImageClassifier', backbone=backbone, data_preprocessor=dict(type='BaseDataPreprocessor'))


class Ours:
    """nasdet's own loop, on batches that are given.

    Args:
        config: Of the classifier.
        order: Of the architecture's step.
        dtype: Of all tensors.
    """

    def __init__(self, config: ConfigDict, order: int, dtype: torch.dtype):
        init_default_scope('mmdet')
        self.model = MODELS.build(DARTSSpace().relaxed(config)).to(dtype).train()
        wrapper = build_optim_wrapper(self.model, dict(
            type='OptimWrapper', constructor='WeightsOptimWrapperConstructor', optimizer=dict(SGD),
            clip_grad=dict(max_norm=5)))
        runner = SimpleNamespace(
            model=self.model, optim_wrapper=wrapper, cfg=Config(), seed=0, register_hook=lambda hook: None,
            visualizer=SimpleNamespace(), call_hook=lambda *args, **kwargs: None,
            build_dataloader=lambda config, seed: Runner.build_dataloader(config, seed=seed))
        loader = dict(dataset=DataLoader([None] * 2).dataset, batch_size=1, num_workers=0,
                      sampler=dict(type='DefaultSampler', shuffle=True))
        self.loop = BilevelTrainLoop(runner, DataLoader([None]), 1, val_dataloader=loader, order=order)

    def gradients(self, training: tuple, validation: tuple) -> list[Tensor]:
        """Return the architecture's gradients on two batches of images and labels."""
        return self.loop.architecture_gradients(*map(as_dict, (training, validation)))[1]

    def step(self, training: tuple, validation: tuple) -> None:
        """Make a step of the architecture and one of the weights."""
        self.loop._validation = iter([as_dict(validation)])
        self.loop.run_iter(0, as_dict(training))


class Literal:
    """The same as ``literal.py`` has it, from the same weights.

    Args:
        ours: Whose weights are copied.
        cells: Cells of the network.
        width: Of the first stage.
    """

    def __init__(self, ours: Ours, cells: int, width: int):
        own = next(ours.model.parameters())
        self.order = ours.loop.order
        self.network = literal.Network(width, cells, CLASSES).to(own.dtype).train()
        with torch.no_grad():
            for source, target in pairs(ours.model.backbone, self.network):
                target.copy_(source)
        self.optimizer = torch.optim.SGD(self.network.weights(), **{k: v for k, v in SGD.items() if k != 'type'})
        self.adam = torch.optim.Adam(self.network.alphas, **ADAM)

    def gradients(self, training: tuple, validation: tuple) -> list[Tensor]:
        """Return the architecture's gradients on two batches of images and labels."""
        return literal.architecture_gradients(self.network, self.optimizer, training, validation, self.order)

    def step(self, training: tuple, validation: tuple) -> None:
        """Make a step of the architecture and one of the weights."""
        literal.step(self.network, self.optimizer, self.adam, training, validation, self.order)


class Fixed:
    """One network of the published cells.

    Args:
        config: Of the classifier.
    """

    def __init__(self, config: ConfigDict):
        init_default_scope('mmdet')
        self.model = MODELS.build(config).train()
        self.wrapper = build_optim_wrapper(self.model, dict(type='OptimWrapper', optimizer=dict(SGD),
                                                            clip_grad=dict(max_norm=5)))

    def step(self, training: tuple, validation: tuple) -> None:
        """Make a step of the weights."""
        self.model.train_step(as_dict(training), self.wrapper)


def as_dict(batch: tuple[Tensor, Tensor]) -> dict:
    """Return images and labels as a classifier takes them."""
    return dict(inputs=batch[0], data_samples=batch[1])


def pairs(ours: nn.Module, theirs: literal.Network) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """Yield each parameter of a relaxed network with the same one of the literal network."""
    parts = [(ours.stem, theirs.stem), (ours.fc, theirs.fc)]
    for own, other in zip(ours.cells, theirs.cells, strict=True):
        parts += zip(own.inputs, other.inputs, strict=True)
        for edge, mixed in zip(own.edges, other.edges, strict=True):
            parts += [(edge[name], mixed.operations[literal.OPERATIONS.index(name)]) for name in edge]
    for own, other in parts:
        yield from zip(own.parameters(), other.parameters(), strict=True)
    yield from zip((ours.alphas.normal, ours.alphas.reduce), theirs.alphas, strict=True)


def batches(batch: int, size: int, dtype: torch.dtype, seed: int = 0) -> tuple[tuple, tuple]:
    """Return a batch for the weights and one for the architecture: noise and random labels."""
    generator = torch.Generator().manual_seed(seed)
    return tuple((torch.randn(batch, 3, size, size, dtype=dtype, generator=generator),
                  torch.randint(CLASSES, (batch,), generator=generator)) for _ in range(2))


def largest_difference(ours: Ours, theirs: Literal, training: tuple, validation: tuple) -> float:
    """Return the largest difference of the architecture's gradients, as a share of the largest of them."""
    found = [torch.cat([part.flatten() for part in side.gradients(training, validation)]) for side in (ours, theirs)]
    return float((found[0] - found[1]).abs().max() / found[1].abs().max())


def seconds(step: Callable, *arguments) -> float:
    """Return what a call takes."""
    begun = time.perf_counter()
    step(*arguments)
    return time.perf_counter() - begun


def sides(args: argparse.Namespace, order: int, dtype: torch.dtype) -> tuple[Ours, Literal]:
    """Return both sides with the same weights."""
    torch.manual_seed(0)
    ours = Ours(model_config(args.cells, args.width), order, dtype)
    return ours, Literal(ours, args.cells, args.width)


def difference_after_a_step(args: argparse.Namespace, order: int, dtype: torch.dtype) -> float:
    """Let both sides make a step on a few images, and return the difference of what their next gradients are."""
    ours, theirs = sides(args, order, dtype)
    few = min(args.batch, FEW_IMAGES)
    for side in (ours, theirs):
        side.step(*batches(few, args.size, dtype))
    return largest_difference(ours, theirs, *batches(few, args.size, dtype, seed=1))


def measure(order: int, args: argparse.Namespace) -> bool:
    """Compare and time one order, print, and return whether both targets are reached."""
    exact, rounded = (difference_after_a_step(args, order, dtype) for dtype in (torch.float64, torch.float32))
    ours, theirs = sides(args, order, torch.float32)
    fixed = Fixed(model_config(args.cells, args.width))
    data = batches(args.batch, args.size, torch.float32)
    for side in (ours, theirs, fixed):      # first buffers and the optimisers' states are made
        side.step(*data)
    times = np.array([[seconds(side.step, *data) for side in (ours, theirs, fixed)] for _ in range(args.steps)])
    own, other, alone = np.median(times, axis=0)
    low, high = np.percentile(times[:, 1] / times[:, 0], (25, 75))
    print(f'order {order}: gradients differ by {exact:.1e} of the largest in float64 (wanted: at most '
          f'{LARGEST_DIFFERENCE}), by {rounded:.1e} in float32; step {own:.3f} s, literal {other:.3f} s, one fixed '
          f'network {alone:.3f} s (medians of {args.steps}); literal / ours {other / own:.2f}, quartiles {low:.2f} to '
          f'{high:.2f} (wanted: at least {LEAST_RATIO}); ours / fixed {own / alone:.2f}')
    return exact <= LARGEST_DIFFERENCE and other / own >= LEAST_RATIO


def main() -> int:
    """Measure and print; return 0 where all targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=5, help='timed, of each side')
    parser.add_argument('--batch', type=int, default=64, help='images')
    parser.add_argument('--cells', type=int, default=8, help='at least 4')
    parser.add_argument('--width', type=int, default=16, help='even')
    parser.add_argument('--size', type=int, default=32, help='side of the images, a multiple of 4')
    args = parser.parse_args()
    torch.set_num_threads(1)
    return 0 if all([measure(order, args) for order in ORDERS]) else 1


if __name__ == '__main__':
    sys.exit(main())
