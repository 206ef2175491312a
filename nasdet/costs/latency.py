"""Latency: how long a network takes for one image on this machine, measured."""

import hashlib
import json
import logging
import platform
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Mapping, Optional, Sequence

import numpy as np
import torch
from torch import nn

from nasdet.costs.base import Cost
from nasdet.costs.complexity import check_scope
from nasdet.files import write_whole
from nasdet.genotype import Genotype
from nasdet.models.meta import build_in_memory, output_shapes
from nasdet.models.resized_input import input_shape_of
from nasdet.registry import COSTS
from nasdet.spaces.base import Space

PRECISIONS = dict(float32=None, bfloat16=torch.bfloat16, float16=torch.float16)
logger = logging.getLogger('nasdet.search')


@COSTS.register_module()
class Latency(Cost):
    """Median milliseconds of one forward pass of a part of the network, in the process that drives the search.

    A network is measured once and keeps its figure, also after a kill: costs are part of the history. What else runs on
    the device is measured with it, so a search with a limit on the latency of a CPU leaves a core free of slots.

    Args:
        space: The space that applies genotypes.
        model: The model config.
        limit: The most milliseconds allowed; None only reports.
        scope: ``'neck'``, ``'backbone'`` or ``'model'`` (backbone, neck and dense head, without non-maximum
            suppression).
        input_shape: (C, H, W) of the image as the data pipeline gives it, whatever the scope.
        device: ``'cpu'``, ``'cuda'`` or another of torch.
        threads: CPU threads of the pass.
        precision: ``'float32'``, ``'bfloat16'`` or ``'float16'`` (autocast).
        warm_up: Passes before the first measured one.
        runs: Measured passes.
        cache: A JSON file of figures that searches share, by network, device and settings; of use where several
            searches meet the same networks; None: this search's alone.

    Raises:
        ValueError: No such device or precision, or a scope that cannot be measured.
    """

    unit = 'ms'

    def __init__(self, space: Space, model: Optional[Mapping] = None, limit: Optional[float] = None,
                 scope: str = 'model', input_shape: Sequence[int] = (3, 640, 640), device: str = 'cpu',
                 threads: int = 1, precision: str = 'float32', warm_up: int = 3, runs: int = 11,
                 cache: Optional[str] = None):
        super().__init__(space, model, limit, scope)
        check_scope(scope, model)
        if scope == 'model' and 'roi_head' in model:
            raise ValueError("Latency(scope='model') would depend on the image's proposals in a two-stage detector: "
                             "measure scope='neck' or scope='backbone'")
        if precision not in PRECISIONS:
            raise ValueError(f'precision is one of {", ".join(PRECISIONS)}, not {precision!r}')
        if runs < 1 or warm_up < 0:
            raise ValueError(f'latency needs at least one run, and no negative warm-up, not {runs} and {warm_up}')
        self.input_shape, self.threads, self.precision = tuple(input_shape), threads, precision
        self.warm_up, self.runs = warm_up, runs
        self.device = _device(device)
        self.cache = Path(cache) if cache else None
        self._known: dict[str, list[float]] = {}

    def __call__(self, genotype: Genotype) -> float:
        """Return the median milliseconds of a pass, measured where no earlier figure is known."""
        model = self.space.apply(genotype, self.model)
        key = self._key(model)
        self._known = {**self._stored(), **self._known}
        if key not in self._known:
            self._known[key] = self.measure(model)
            low, median, high = self._known[key]
            logger.info('%s of %s: %.4g ms (quartiles %.4g to %.4g, %d runs) on %s', self.name,
                        self.space.key(genotype), median, low, high, self.runs, device_name(self.device))
            if self.cache is not None:
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self.cache, json.dumps({**self._stored(), key: self._known[key]}, indent=1).encode())
        return self._known[key][1]

    def measure(self, model: Mapping) -> list[float]:
        """Return the quartiles of the milliseconds of a pass, with weights drawn at random.

        Args:
            model: A model config with a genotype applied.

        Returns:
            [lower quartile, median, upper quartile].
        """
        shape = input_shape_of(model, self.input_shape)
        shapes = output_shapes(model['backbone'], shape) if self.scope == 'neck' else [shape]
        maps = tuple(torch.zeros(1, *shape, device=self.device) for shape in shapes)
        network = build_in_memory(model if self.scope == 'model' else model[self.scope]).to(self.device)
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            seconds = self._passes(network.eval(), maps if self.scope == 'neck' else maps[0])
        finally:
            torch.set_num_threads(before)
        return [float(value) for value in np.quantile(np.array(seconds) * 1000, (0.25, 0.5, 0.75))]

    def _passes(self, network: nn.Module, inputs) -> list[float]:
        dtype = PRECISIONS[self.precision]
        autocast = nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)
        seconds = []
        with torch.inference_mode(), autocast:
            for _ in range(self.warm_up + self.runs):
                self._wait()
                started = time.perf_counter()
                network(inputs)
                self._wait()
                seconds.append(time.perf_counter() - started)
        return seconds[self.warm_up:]

    def _wait(self) -> None:
        """Wait for what an accelerator is still computing."""
        if self.device.type != 'cpu':
            torch.accelerator.synchronize(self.device)

    def _key(self, model: Mapping) -> str:
        """Return what the figure depends on: the network, the device and how it is measured."""
        backbone = model['backbone'] if self.scope == 'neck' else None      # says how large the maps are
        network = [model if self.scope == 'model' else model[self.scope], backbone]
        digest = hashlib.sha256(json.dumps(network, sort_keys=True, default=str).encode()).hexdigest()[:16]
        shape = list(input_shape_of(model, self.input_shape))
        settings = [self.scope, shape, self.precision, self.threads, self.warm_up, self.runs, device_name(self.device),
                    torch.__version__]
        return f'{digest} {json.dumps(settings)}'

    def _stored(self) -> dict[str, list[float]]:
        return json.loads(self.cache.read_text()) if self.cache is not None and self.cache.exists() else {}


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'this machine cannot measure on the device {name!r}: {str(error).splitlines()[0]}') from error
    return device


def device_name(device: torch.device) -> str:
    """Return what a device is, such as ``'NVIDIA A100-SXM4-40GB'`` or ``'AMD EPYC 9654'``."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    if device.type != 'cpu':
        return device.type
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else f'{platform.system()} {platform.machine()}'
