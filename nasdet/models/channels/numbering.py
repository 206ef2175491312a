"""What is asked of the numbers that accompany a tensor: of its dimensions, with size 1 where they do not vary."""

from typing import Any, Iterator

import torch
from torch import Tensor


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


def aligned(numbers: Tensor, dims: int) -> Tensor:
    """Return numbers with dimensions of size 1 in front, as broadcasting adds them."""
    return numbers.reshape((1,) * (dims - numbers.ndim) + tuple(numbers.shape))


def whole(before: Tensor, after: Tensor, cut: bool) -> bool:
    """Return whether an operation left all channels in one dimension and in their order.

    Args:
        before: Numbers of what it read.
        after: Numbers of what it gave, compressed.
        cut: Whether it takes a part; else channels may also occur several times, as behind a flattened map.
    """
    before = compressed(before)
    if before.numel() == 1:
        return True
    if any(sum(size > 1 for size in numbers.shape) > 1 for numbers in (before, after)):
        return False
    before, after = before.flatten().tolist(), after.flatten().tolist()
    return before == after if cut else list(dict.fromkeys(before)) == list(dict.fromkeys(after))


def compressed(numbers: Tensor) -> Tensor:
    """Return numbers with size 1 in each dimension along which they do not vary."""
    for dim, size in enumerate(numbers.shape):
        first = numbers.narrow(dim, 0, min(1, size))
        if size > 1 and torch.equal(numbers, first.expand_as(numbers)):
            numbers = first
    return numbers
