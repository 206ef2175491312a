"""A toy space and a toy estimator that costs nothing and misbehaves on request."""

import hashlib
import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Optional

import numpy as np

from nasdet.estimators.base import Estimator
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.registry import ESTIMATORS, SPACES
from nasdet.spaces.base import Choice, Graph, Space

OPS = ('id', 'pool', 'conv3', 'conv5')
WIDTHS = (8, 16, 32)


@SPACES.register_module()
class ToySpace(Space):
    """A chain of layers: an op each, and a width after a convolution only; the last layer is always conv3.

    So there are branches (a width decision that exists or not) and a forced decision (the last op). Two chains
    that differ only in where their ``id`` layers stand are the same network.

    Args:
        num_decisions: Number of layers, which is the number of op decisions.
    """

    vocab = dict(op=OPS, width=WIDTHS)

    def __init__(self, num_decisions: int = 4):
        self.num_decisions = num_decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        layers = 0
        wants_width = False
        for token in prefix:
            if wants_width:
                wants_width = False
                continue
            layers += 1
            wants_width = OPS[token].startswith('conv')
        if wants_width:
            return Choice(f'layer{layers - 1}.width', 'width', (0, 1, 2))
        if layers == self.num_decisions:
            return None
        last = layers == self.num_decisions - 1
        return Choice(f'layer{layers}.op', 'op', (OPS.index('conv3'),) if last else (0, 1, 2, 3))

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        layers = []
        for choice, token in self.walk(tokens):
            if choice.kind == 'op':
                layers.append(dict(op=OPS[token]))
            else:
                layers[-1]['width'] = WIDTHS[token]
        if self.choices(tuple(tokens)) is not None:
            raise ValueError(f'ToySpace: {len(tokens)} tokens are not a complete chain')
        return Genotype(self.name, dict(layers=layers))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        tokens = []
        for layer in genotype.value['layers']:
            tokens.append(OPS.index(layer['op']))
            if 'width' in layer:
                tokens.append(WIDTHS.index(layer['width']))
        if self.decode(tuple(tokens)) != genotype:
            raise ValueError(f'ToySpace has no such chain: {genotype.to_json()}')
        return tuple(tokens)

    def canonical(self, genotype: Genotype) -> Genotype:
        layers = sorted(genotype.plain()['layers'], key=lambda layer: layer['op'] != 'id')
        return Genotype(self.name, dict(layers=layers))

    def graph(self, genotype: Genotype) -> Graph:
        layers = genotype.plain()['layers']
        nodes = [dict(id=i, label=f'{layer["op"]} {layer.get("width", "")}'.strip()) for i, layer in enumerate(layers)]
        return Graph(nodes, [(i, i + 1, '') for i in range(len(layers) - 1)])

    def size(self) -> int:
        return 8 ** (self.num_decisions - 1) * 3


@ESTIMATORS.register_module()
class ToyEstimator(Estimator):
    """Scores a chain by a planted goal that is additive over its decisions, in 0..1.

    Args:
        goal: Seed of the planted goal.
        noise: Standard deviation of the noise that an evaluation's seed adds.
        seconds: How long each evaluation sleeps.
        log: A file to which every evaluation appends one line as it starts: folder, key, process id.
        behaviours: Maps a genotype's key, or the op of its first layer, or ``'*'``, to what its evaluation does:
            ``'fail'`` raises, ``'nan'`` returns NaN, ``'hang'`` never ends, ``'kill'`` kills its own process,
            ``'kill_once'`` does so in the first attempt only, ``'crash'`` aborts, ``'memory'`` allocates until it is
            stopped.
    """

    def __init__(self, space, config=None, work_dir=None, goal=0, noise=0.0, seconds=0.0, log=None, behaviours=None):
        super().__init__(space, config, work_dir)
        self.goal, self.noise, self.seconds, self.log = goal, noise, seconds, log
        self.behaviours = dict(behaviours or {})

    def evaluate(self, genotype: Genotype, budget: Budget, seed: int, folder: Optional[Path] = None) -> Evaluation:
        key = self.space.key(genotype)
        if self.log:
            append_line(self.log, f'{folder} {key} {os.getpid()}')
        time.sleep(self.seconds)
        score = planted_score(self.space, genotype, self.goal)
        score += self.noise * float(np.random.default_rng((seed, int(key, 16))).standard_normal())
        first_op = genotype.value['layers'][0]['op'] if 'layers' in genotype.value else ''
        behaviour = self.behaviours.get(key) or self.behaviours.get(first_op) or self.behaviours.get('*')
        if misbehave(behaviour, key, folder):
            score = math.nan
        return Evaluation(metrics=dict(score=score), cost=dict(seconds=self.seconds),
                          fidelity=dict(epochs=budget.epochs), curve=[[1, score]])

    @property
    def metric_names(self):
        return ['score']

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps([self.goal, self.noise]).encode()).hexdigest()[:16]


def planted_score(space: Space, genotype: Genotype, goal: int) -> float:
    """Return the mean over decisions of a weight in 0..1 that the goal gives to each (decision, token)."""
    walked = list(space.walk(space.encode(genotype)))
    weights = []
    for choice, token in walked:
        name = int.from_bytes(hashlib.sha256(choice.name.encode()).digest()[:4], 'big')
        weights.append(np.random.default_rng((goal, name)).permutation(len(space.vocab[choice.kind]))[token]
                       / (len(space.vocab[choice.kind]) - 1))
    return float(np.mean(weights))


def misbehave(behaviour: Optional[str], key: str, folder: Optional[Path]) -> bool:
    """Do what was asked for; return whether the score shall be NaN."""
    again = folder is not None and Path(folder).name.startswith('attempt-')
    if behaviour == 'fail':
        raise RuntimeError(f'{key} was told to fail')
    if behaviour == 'hang':
        time.sleep(24 * 3600)
    if behaviour == 'kill' or (behaviour == 'kill_once' and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == 'crash':
        os.abort()
    if behaviour == 'memory':
        blocks = [np.zeros(2 ** 28, np.uint8) for _ in range(256)]     # 64 GiB of address space, never touched
        raise AssertionError(f'nothing stopped an allocation of {len(blocks)} x 256 MiB')
    return behaviour == 'nan'


def append_line(path: str, line: str) -> None:
    """Append one line in one write, so that lines of several processes never mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f'{line}\n'.encode())
    finally:
        os.close(descriptor)
