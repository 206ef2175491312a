"""The speed of our two largest published cell networks beside timm's, with the same weights.

    OMP_NUM_THREADS=1 python -m benchmarks.cells.speed [--size 331] [--batch 1] [--repeats 7] [--channels-last]
    OMP_NUM_THREADS=1 python -m benchmarks.cells.speed --compile ours

Forward in evaluation mode, and forward with backward in training mode; processor time of one thread, so that waiting
for other programs does not count. Each of ours takes turns with timm's in one process, and what counts is the ratio of
each round. Ours drop neither paths nor features, as timm's do not. Before anything is timed, the logits are compared.

Both sides run eagerly, as they are written, where ``--compile`` does not name them. ``--compile ours`` says what a user
gains who compiles ours (``torch.compile``) over timm's as they come; ``--compile ours timm`` compares the two compiled.
Compiling takes minutes a network and mode, and is not in the figures.
"""

import argparse
import sys

import numpy as np
import timm
import torch
from torch import Tensor, nn

from benchmarks.neck_speed import measure
from nasdet import zoo
from nasdet.convert import timm_nasnetalarge, timm_pnasnet5large

NETWORKS = dict(nasnetalarge=('nasnet_a_6_4032', timm_nasnetalarge),
                pnasnet5large=('pnasnet_5_large', timm_pnasnet5large))
LARGEST_DIFFERENCE = 1e-4       # of logits


@torch.no_grad()
def networks(name: str, images: Tensor) -> dict[str, nn.Module]:
    """Return timm's network of a name with fresh weights, and ours with the same ones.

    Args:
        name: One of ``NETWORKS``.
        images: Whose statistics batch norm gets: with those that it begins with, signals die out on the way.
    """
    own, convert = NETWORKS[name]
    theirs, ours = timm.create_model(name), zoo.build(own, padding='timm', drop_path=0.0, dropout=0.0)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0       # the statistics of the last batch
    theirs.train()(images)
    ours.load_state_dict(convert(theirs.state_dict()))
    return dict(timm=theirs, ours=ours)


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits as a test does."""
    return network.eval()(images)


def forward_backward(network: nn.Module, images: Tensor) -> None:
    """Run a network as a training step does, up to the gradients."""
    network.train()
    network.zero_grad()
    network(images).mean().backward()


def report(name: str, args: argparse.Namespace) -> bool:
    """Compare and time one network, print, and return whether ours is equal and at least as fast."""
    torch.manual_seed(0)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    images = torch.randn(args.batch, 3, args.size, args.size).to(memory_format=layout)
    both = {side: network.to(memory_format=layout) for side, network in networks(name, images).items()}
    for side in args.compile:
        both[side].compile()
    modes = ', '.join(f'{side} {"compiled" if side in args.compile else "eager"}' for side in both)
    expected = forward(both['timm'], images)
    difference = float((forward(both['ours'], images) - expected).abs().max())
    print(f'{name}, {args.batch} x {args.size} px, {modes}: logits, up to {float(expected.abs().max()):.2f}, differ by '
          f'{difference:.1e}')
    reached = difference <= LARGEST_DIFFERENCE
    for run in (forward, forward_backward):
        taken = measure(both, images, run, args.repeats)
        ratios = taken['ours'] / taken['timm']
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        print(f'{run.__name__:16} timm {np.median(taken["timm"]):8.1f} ms, ours {np.median(taken["ours"]):8.1f} ms; '
              f'ours / timm {middle:.3f} (median of {len(ratios)}; quartiles {low:.3f} to {high:.3f})')
        reached = reached and middle <= 1
    return reached


def main() -> int:
    """Measure and print; return 0 where ours are equal and at least as fast."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument('--size', type=int, default=331, help='side of the images, in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images')
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--channels-last', action='store_true', help='the layout of both')
    parser.add_argument('--compile', nargs='+', choices=('timm', 'ours'), default=[], help='run through torch.compile')
    args = parser.parse_args()
    torch.set_num_threads(1)
    return 0 if all([report(name, args) for name in args.networks]) else 1


if __name__ == '__main__':
    sys.exit(main())
