"""The search space of DetNAS.

Chen, Yang, Zhang, Meng, Xiao, Sun: DetNAS: Backbone Search for Object Detection. NeurIPS 2019, arXiv:1903.10979,
section 3.3 and table 1.
"""

import copy
from typing import Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space

HALF = (4, 4, 8, 4)             # blocks of the four stages of the smallest space
# Name: (channels of the stem, channels of each stage, blocks of each stage).
PRESETS = {'300m': (16, (64, 160, 320, 640), HALF),
           '1.3g': (48, (96, 240, 480, 960), tuple(2 * blocks for blocks in HALF)),
           '3.8g': (72, (172, 432, 864, 1728), tuple(2 * blocks for blocks in HALF))}


@SPACES.register_module()
class ChoiceBlockSpace(Space):
    """Which block stands at each place of a backbone of stages; every place has the same choices.

    The first block of each stage halves the resolution, so stage i has a stride of 2 ** (i + 1) pixels.

    Args:
        stages: Of each stage a dict with ``channels`` (even, more than the stage before has) and ``num_blocks``.
        preset: Instead of ``stages`` and ``stem_channels``, a space of the paper: ``'300m'`` (20 blocks), ``'1.3g'`` or
            ``'3.8g'`` (40 blocks).
        choices: Blocks to choose from: ``'shuffle3'``, ``'shuffle5'``, ``'shuffle7'``, ``'xception'``.
        stem_channels: With ``stages``, channels of the stem, at half the resolution; None: 16.
        head_channels: Channels of the convolution before a classifier's pooling; a detector has none.
        shuffle: Which channels of a block pass through: the first half of the reordered ones (``'halves'``, as the
            authors' supernets) or every other one (``'even_odd'``, as their released networks).
        input: What the network reads, where the detector's ``data_preprocessor`` shall be changed to it: a dict with
            ``channels`` (``'bgr'`` or ``'rgb'``), ``mean`` and ``std``. The authors' weights need ``'bgr'``, 0 and 1.
        backbone: Further arguments of the backbone, such as ``norm_cfg``, ``out_indices`` or ``init_cfg``. Pretrained
            weights are the supernet's: no network of a genotype could load them, so that these start from scratch.
    """

    def __init__(self, stages: Optional[Sequence[Mapping]] = None, preset: Optional[str] = None,
                 choices: Sequence[str] = ('shuffle3', 'shuffle5', 'shuffle7', 'xception'),
                 stem_channels: Optional[int] = None, head_channels: int = 1024, shuffle: str = 'halves',
                 input: Optional[Mapping] = None,       # noqa: A002 - as genotypes call it
                 backbone: Optional[Mapping] = None):
        from nasdet.models.layers.choice_genotype import FROM_DETECTOR, widths_and_depths  # brings torch and mmdet
        if (stages is None) == (preset is None):
            raise ValueError(f'ChoiceBlockSpace takes stages or a preset, one of {", ".join(PRESETS)}')
        if preset is not None:
            if stem_channels is not None:
                raise ValueError(f'preset={preset!r} has a stem of its own, so leave stem_channels out')
            stem_channels, channels, blocks = _preset(preset)
        else:
            stem_channels = 16 if stem_channels is None else stem_channels
            channels, blocks = widths_and_depths(stages)
        self.channels, self.blocks = tuple(channels), tuple(blocks)
        self.input = dict(input) if input is not None else None
        self.backbone = dict(backbone or {})
        self.vocab = dict(block=tuple(choices))
        settings = dict(semantics='megvii', shuffle=shuffle, input=self.input or FROM_DETECTOR,
                        stem_channels=stem_channels, head_channels=head_channels)
        self._settings = Genotype(self.name, settings).plain()      # lists, as genotypes have them
        self._tokens = {name: token for token, name in enumerate(self.vocab['block'])}
        self._choices = tuple(Choice(f'stage{stage}.block{block}', 'block', tuple(self._tokens.values()))
                              for stage, number in enumerate(self.blocks, 1) for block in range(1, number + 1))
        self._check_arguments()

    def _check_arguments(self) -> None:
        from nasdet.models.layers.choice_genotype import check_choice_genotype, check_choices
        check_choices(self.vocab['block'])
        check_choice_genotype(self.decode((0,) * len(self._choices)).value)
        derived = {'type', 'genotype', 'stages', 'choices', *self._settings} & self.backbone.keys()
        if derived:
            raise ValueError(f'backbone: {sorted(derived)[0]} follows from the space, so leave it out')

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the block to choose after ``prefix``, stage by stage."""
        return self._choices[len(prefix)] if len(prefix) < len(self._choices) else None

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        names = [self.vocab['block'][token] for _, token in self.walk(tuple(tokens))]
        if len(names) != len(self._choices):
            raise ValueError(f'{self.name}: {len(self._choices)} blocks take as many tokens, not {len(names)}')
        rest = iter(names)
        stages = [dict(channels=channels, blocks=[next(rest) for _ in range(number)])
                  for channels, number in zip(self.channels, self.blocks, strict=True)]
        return Genotype(self.name, dict(self._settings, stages=stages))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        from nasdet.models.layers.choice_genotype import check_choice_genotype
        check_choice_genotype(genotype.value)
        value = genotype.plain()
        for name, own in self._settings.items():
            if value[name] != own:
                raise ValueError(f'this space has {name}={own!r}, the genotype {value[name]!r}')
        names = [stage['blocks'] for stage in value['stages']]
        for what, own, other in (('channels', self.channels, [stage['channels'] for stage in value['stages']]),
                                 ('blocks', self.blocks, [len(blocks) for blocks in names])):
            if list(own) != other:
                raise ValueError(f'this space has stages of {list(own)} {what}, the genotype of {other}')
        for choice, name in zip(self._choices, sum(names, []), strict=True):
            if name not in self._tokens:
                raise ValueError(f'{choice.name} is {name!r}, but this space allows {list(self._tokens)}')
        return self._read(genotype)

    def _read(self, genotype: Genotype) -> tuple[int, ...]:
        return tuple(self._tokens[name] for stage in genotype.value['stages'] for name in stage['blocks'])

    def size(self) -> int:
        """Return the number of genotypes: 1.10e12 for 20 blocks, 1.21e24 for 40."""
        return len(self.vocab['block']) ** len(self._choices)

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone has the genotype, and whose neck reads that backbone.

        Args:
            genotype: One of this space.
            model: A detector's or a classifier's model config; it is not changed.

        Raises:
            ValueError: The genotype is of another space, or nothing in the model config could read its maps.
        """
        self.encode(genotype)
        own = detector.without_weights(self.backbone)
        return self._with_backbone(model, dict(own, type='DetNASNet', genotype=genotype.plain()))

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone holds the weights of all genotypes; ``model`` is not changed.

        Raises:
            ValueError: The space freezes what a supernet trains, or nothing in the model config could read the maps.
        """
        frozen = {'frozen_stages', 'norm_eval'} & self.backbone.keys()
        if frozen:
            raise ValueError(f'a supernet trains all of the backbone: leave {sorted(frozen)[0]} out of backbone')
        stages = [dict(channels=channels, num_blocks=number)
                  for channels, number in zip(self.channels, self.blocks, strict=True)]
        settings = {name: value for name, value in self._settings.items() if name != 'input'}
        return self._with_backbone(model, dict(self.backbone, type='DetNASSupernet', stages=stages,
                                               choices=self.vocab['block'], **settings))

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where neck or heads do not fit a backbone of this space."""
        applied = self.apply(self.sample(np.random.default_rng(0)), model)
        detector.check(applied)
        detector.check_channels(applied)

    def _with_backbone(self, model: Mapping, backbone: Mapping) -> ConfigDict:
        fitted = detector.replace_backbone(model, backbone, self.channels)
        if self.input is not None:
            from nasdet.models.preprocessing import preprocessor_for  # brings torch and mmdet
            fitted.setdefault('data_preprocessor', ConfigDict()).update(preprocessor_for(model, self.input))
        return fitted

    # ---- for costs that are sums over the blocks

    def block_modules(self, scope: str) -> dict[str, str]:
        """Return the module of each block in an applied detector; none in the neck, whose cost no block changes."""
        if scope == 'neck':
            return {}
        places = [(stage, block) for stage, number in enumerate(self.blocks) for block in range(number)]
        return {choice.name: f'backbone.stages.{stage}.{block}'
                for choice, (stage, block) in zip(self._choices, places, strict=True)}

    def block_tokens(self, genotype: Genotype, scope: str) -> tuple[int, ...]:
        """Return the tokens of the blocks that :meth:`block_modules` names."""
        return () if scope == 'neck' else self._read(genotype)

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return the blocks in a chain: a row is a stage, at the level of its resolution."""
        graph = Graph([dict(id='stem', label='stem', column=0, row=1, kind='stem')])
        stages = genotype.plain()['stages']
        for level, stage in enumerate(stages, 2):
            for column, name in enumerate(stage['blocks']):
                node = dict(id=f'stage{level - 1}.block{column + 1}', label=name, column=column, row=level, kind=name)
                graph.edges.append((graph.nodes[-1]['id'], node['id'], ''))
                graph.nodes.append(node)
        return graph


def _preset(name: str) -> tuple:
    if name not in PRESETS:
        raise ValueError(f'preset is one of {", ".join(PRESETS)}, not {name!r}')
    return copy.deepcopy(PRESETS[name])
