"""The search space of ENAS's macro search.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.3.
"""

import copy
from typing import Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space

SHARED = ('width', 'num_classes', 'dropout', 'fc_bias', 'init_cfg')     # what the supernet takes over of the network


@SPACES.register_module()
class ENASMacroSpace(Space):
    """A whole network: the operation of each layer, and which of the earlier layers it reads besides the one before.

    A layer's decisions are its operation, and yes or no for the stem (0) and each layer but the one before.

    Args:
        num_layers: Layers of a network.
        ops: Operations to choose from.
        backbone: Arguments of :class:`~nasdet.models.backbones.ENASMacroNet`, such as ``width`` and ``num_classes``.
            What it does not say is as in the config's own backbone, if that is an ENASMacroNet.

    Raises:
        ValueError: An argument is none of these.
    """

    def __init__(self, num_layers: int = 12, ops: Sequence[str] = ('conv3', 'sep3', 'conv5', 'sep5', 'avg3', 'max3'),
                 backbone: Optional[Mapping] = None):
        from nasdet.models.layers.enas_macro import FEWEST_LAYERS, MACRO_OPS  # brings torch and mmdet
        if num_layers < FEWEST_LAYERS:
            raise ValueError(f'num_layers is at least {FEWEST_LAYERS}, not {num_layers}')
        if not ops or not set(ops) <= set(MACRO_OPS) or len(set(ops)) < len(ops):
            raise ValueError(f'ops are different ones of {", ".join(MACRO_OPS)}, at least one, not {list(ops)}')
        self.backbone = dict(backbone or {})
        derived = {'type', 'genotype'} & self.backbone.keys()
        if derived:
            raise ValueError(f'backbone: {sorted(derived)[0]} follows from the space, so leave it out')
        self.num_layers = num_layers
        self.vocab = dict(op=tuple(ops), skip=(False, True))
        self._choices = tuple(choice for number in range(1, num_layers + 1) for choice in self._layer(number))

    def _layer(self, number: int) -> list[Choice]:
        """Return the decisions of a layer."""
        op = Choice(f'layer{number}.op', 'op', tuple(range(len(self.vocab['op']))))
        return [op, *(Choice(f'layer{number}.skip{earlier}', 'skip', (0, 1)) for earlier in range(number - 1))]

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``, layer by layer."""
        return self._choices[len(prefix)] if len(prefix) < len(self._choices) else None

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        words = [self.vocab[choice.kind][token] for choice, token in self.walk(tuple(tokens))]
        if len(words) != len(self._choices):
            raise ValueError(f'{self.name}: {self.num_layers} layers take {len(self._choices)} tokens, not '
                             f'{len(words)}')
        rest, layers = iter(words), []
        for number in range(1, self.num_layers + 1):
            layers.append(dict(op=next(rest), skips=[earlier for earlier in range(number - 1) if next(rest)]))
        return Genotype(self.name, dict(layers=layers))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        from nasdet.models.layers.enas_macro import check_macro_genotype
        check_macro_genotype(genotype.value)
        layers = genotype.value['layers']
        if len(layers) != self.num_layers:
            raise ValueError(f'this space has {self.num_layers} layers, the genotype {len(layers)}')
        tokens: list[int] = []
        for number, layer in enumerate(layers, start=1):
            if layer['op'] not in self.vocab['op']:
                raise ValueError(f'layer{number}.op is {layer["op"]!r}, but this space allows {list(self.vocab["op"])}')
            tokens += [self.vocab['op'].index(layer['op'])]
            tokens += [int(earlier in layer['skips']) for earlier in range(number - 1)]
        return tuple(tokens)

    def size(self) -> int:
        """Return the number of genotypes: 1.6e29 for 12 layers."""
        return len(self.vocab['op']) ** self.num_layers * 2 ** (self.num_layers * (self.num_layers - 1) // 2)

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new classifier's config whose backbone has the genotype.

        Args:
            genotype: One of this space.
            model: A classifier's model config; it is not changed.

        Raises:
            ValueError: The genotype is of another space, or nothing says width or classes of the network.
        """
        self.encode(genotype)
        backbone = dict(self._network(model), type='ENASMacroNet', genotype=genotype.plain())
        return ConfigDict(copy.deepcopy({**model, 'backbone': backbone}))

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone holds the weights of all genotypes; ``model`` is not changed."""
        network = self._network(model)
        norm_cfg = dict(network.get('norm_cfg') or dict(type='BN'), track_running_stats=False)
        backbone = dict({name: network[name] for name in SHARED if name in network}, type='ENASMacroSupernet',
                        num_layers=self.num_layers, ops=self.vocab['op'], norm_cfg=norm_cfg)
        return ConfigDict(copy.deepcopy({**model, 'backbone': backbone}))

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError unless the model config is a classifier whose backbone has the head."""
        if model.get('type') != 'ImageClassifier' or model.get('num_classes') is not None:
            raise ValueError('a macro network is a classifier with a head of its own: take an ImageClassifier without '
                             'num_classes and in_channels')
        self.apply(self.sample(np.random.default_rng(0)), model)

    def _network(self, model: Mapping) -> dict:
        """Return the arguments of the network; ValueError where nothing says its width or classes."""
        own = model.get('backbone') or {}
        network = {**(own if own.get('type') == 'ENASMacroNet' else {}), **self.backbone}
        for name in ('width', 'num_classes'):
            if network.get(name) is None:
                raise ValueError(f'nothing says {name} of the network: give the space backbone=dict({name}=...), or '
                                 f'the model an ENASMacroNet as its backbone')
        return detector.without_weights(network)

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return the layers in a chain, with an edge for each skip; a row is a resolution."""
        from nasdet.models.layers.enas_macro import halved_after
        graph = Graph([dict(id='layer0', label='stem', column=0, row=0, kind='stem')])
        for number, layer in enumerate(genotype.value['layers'], start=1):
            row = sum(number > last for last in halved_after(self.num_layers))
            graph.nodes.append(dict(id=f'layer{number}', label=layer['op'], column=number, row=row, kind=layer['op']))
            for earlier in (*layer['skips'], number - 1):
                graph.edges.append((f'layer{earlier}', f'layer{number}', ''))
        return graph
