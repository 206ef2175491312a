"""The neck's speed against mmdet's NASFPN, with the same weights: forward alone, and forward with backward.

    python -m benchmarks.neck_speed [--stacks 7] [--width 256] [--side 640] [--repeats 15]

One image, the maps of a ResNet-50, one thread, whose processor time is measured: waiting for other programs does not
count. The networks take turns in one process, so that what else the machine does meets all alike; what counts is the
ratio of the medians. ``--stacks 1 --width 64`` takes seconds.
"""

import argparse
import time
from typing import Callable

import numpy as np
import torch
from mmdet.models.necks import NASFPN
from torch import Tensor, nn

from nasdet import zoo
from nasdet.convert import mmdet_nasfpn

CHANNELS = [256, 512, 1024, 2048]


def networks(stacks: int, width: int) -> dict[str, nn.Module]:
    """Return mmdet's neck, ours with its weights, and ours in the paper's dialect."""
    torch.manual_seed(0)
    mmdet = NASFPN(CHANNELS, width, 5, stack_times=stacks, start_level=1, norm_cfg=dict(type='BN'))
    ours = zoo.build('nas_fpn_mmdet', out_channels=width, stack_times=stacks)
    ours.load_state_dict(mmdet_nasfpn(mmdet.state_dict()))
    paper = zoo.build('nas_fpn', out_channels=width, stack_times=stacks)
    return {"mmdet's NASFPN": mmdet, 'nas_fpn_mmdet': ours, 'nas_fpn': paper}


@torch.no_grad()
def forward(neck: nn.Module, maps: list[Tensor]) -> None:
    """Run a neck as a test does."""
    neck.eval()
    neck(maps)


def forward_backward(neck: nn.Module, maps: list[Tensor]) -> None:
    """Run a neck as a training step does, up to the gradients."""
    neck.train()
    neck.zero_grad()
    sum(out.mean() for out in neck(maps)).backward()


def measure(necks: dict[str, nn.Module], maps: list[Tensor], run: Callable, repeats: int) -> dict[str, np.ndarray]:
    """Return the milliseconds of each neck in each round."""
    taken = {name: [] for name in necks}
    for number in range(repeats + 1):
        for name, neck in necks.items():
            begun = time.process_time()
            run(neck, maps)
            if number:      # the first round warms up
                taken[name].append(1000 * (time.process_time() - begun))
    return {name: np.array(times) for name, times in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stacks', type=int, default=7)
    parser.add_argument('--width', type=int, default=256)
    parser.add_argument('--side', type=int, default=640, help='of the image, in pixels')
    parser.add_argument('--repeats', type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    necks = networks(args.stacks, args.width)
    for run in (forward, forward_backward):
        maps = [torch.randn(1, channels, args.side // stride, args.side // stride, requires_grad=run != forward)
                for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)]
        taken = measure(necks, maps, run, args.repeats)
        base = next(iter(taken.values()))
        for name, times in taken.items():
            low, high = np.percentile(times / base, (25, 75))
            print(f'{run.__name__:16} {name:14} median {np.median(times):7.1f} ms, least {times.min():7.1f} ms; '
                  f'ratio of medians {np.median(times) / np.median(base):.3f} (quartiles of the rounds '
                  f'{low:.3f} to {high:.3f})')


if __name__ == '__main__':
    main()
