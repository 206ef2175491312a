"""The search space of BigNAS, and that of AttentiveNAS: children of one elastic network.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142; Wang, Li, Gong, Chandra: AttentiveNAS: Improving Neural Architecture
Search via Attentive Sampling. CVPR 2021, arXiv:2011.09011, table 1.
"""

import math
from typing import Iterator, Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space
from nasdet.spaces.elastic_presets import PRESETS

DEFAULTS = dict(semantics='efficientnet', head_channels=(1280,), resolution=None)
FPN = ('FPN', 'mmdet.FPN')
PREPROCESSORS = ('DetDataPreprocessor', 'mmdet.DetDataPreprocessor')


@SPACES.register_module()
class ElasticSpace(Space):
    """Resolution, and of each stage of MBConv blocks how many channels, how deep, which kernel and which expansion.

    A genotype is a part of the largest one: its first channels, its first blocks, the middle of its kernels.

    A classifier whose backbone has its head (``backbone=dict(head=True)``) resizes the images that it is given to its
    resolution, which is the side of a square. In a detector its data_preprocessor does so, and it is the longer side.

    Args:
        preset: ``'bignas'`` or ``'attentivenas'``: the published space, of which further arguments change a part.
        semantics: Of blocks and head, ``'efficientnet'`` (BigNAS, and where nothing is said) or ``'attentivenas'``.
        stages: Of each stage a dict with lists of ``channels``, ``depth`` (number of blocks), ``kernel`` and
            ``expansion``, and with the ``stride`` of its first block and ``se``, whether its blocks have
            squeeze-and-excitation.
        stem_channels: List of channels of the stem, which halves the resolution.
        head_channels: List of channels before the linear layer of a classifier; without a preset ``(1280,)``.
        resolution: List of sides in pixels that images are resized to. None: those of the preset in a classifier, or
            images as the data pipeline gives them.
        backbone: Further arguments of the backbone, such as ``head``, ``norm_cfg``, ``out_indices`` or ``init_cfg``.

    Raises:
        ValueError: There is no such space.
    """

    def __init__(self, preset: Optional[str] = None, semantics: Optional[str] = None,
                 stages: Optional[Sequence[Mapping]] = None, stem_channels: Optional[Sequence[int]] = None,
                 head_channels: Optional[Sequence[int]] = None, resolution: Optional[Sequence[int]] = None,
                 backbone: Optional[Mapping] = None):
        from nasdet.models.layers.mbconv_choices import check_choices, genes_of  # brings torch and mmdet
        self.backbone = dict(backbone or {})
        given = dict(semantics=semantics, stages=stages, stem_channels=stem_channels, head_channels=head_channels,
                     resolution=resolution)
        choices = {**DEFAULTS, **_preset(preset, self.is_classifier),
                   **{name: value for name, value in given.items() if value is not None}}
        missing = given.keys() - choices.keys()
        if missing:
            raise ValueError(f'ElasticSpace takes a preset, one of {", ".join(PRESETS)}, or else {sorted(missing)[0]}')
        self.choices_of_children = Genotype(self.name, choices).plain()     # lists, as genotypes have them
        check_choices(self.choices_of_children)
        self._check_arguments()
        options = genes_of(self.choices_of_children)
        kinds = {name: name.rpartition('.')[2] for name in options}
        self.vocab = {kind: tuple(sorted({value for name, values in options.items() if kinds[name] == kind
                                          for value in values})) for kind in kinds.values()}
        self._choices = tuple(Choice(name, kinds[name], tuple(self.vocab[kinds[name]].index(value) for value in values))
                              for name, values in options.items())

    def _check_arguments(self) -> None:
        derived = {'type', 'genotype', *self.choices_of_children} & self.backbone.keys()
        if derived:
            raise ValueError(f'backbone: {sorted(derived)[0]} follows from the space, so leave it out')

    @property
    def is_classifier(self) -> bool:
        """Whether the network has a head, and so gives the logits of a classifier."""
        return bool(self.backbone.get('head'))

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``: resolution, stem, the stages, head."""
        return self._choices[len(prefix)] if len(prefix) < len(self._choices) else None

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        genes = {choice.name: self.vocab[choice.kind][token] for choice, token in self.walk(tuple(tokens))}
        if len(genes) != len(self._choices):
            raise ValueError(f'{self.name}: {len(self._choices)} decisions take as many tokens, not {len(genes)}')
        return self._genotype(genes)

    def _genotype(self, genes: Mapping) -> Genotype:
        from nasdet.models.layers.mbconv_choices import with_genes
        return Genotype(self.name, with_genes(self.choices_of_children, genes))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        genes = self._genes(genotype)
        return tuple(self.vocab[choice.kind].index(genes[choice.name]) for choice in self._choices)

    def _genes(self, genotype: Genotype) -> dict:
        from nasdet.models.layers.mbconv_choices import check_child, genes_of
        check_child(self.choices_of_children, genotype.value)
        return genes_of(genotype.value)

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the genotype in which all that the network does not have is the first of its choices.

        That is the head of a backbone, and the stages after the last map that is asked for.
        """
        genes = self._genes(genotype)
        unused = {choice.name: self.vocab[choice.kind][choice.legal[0]] for choice in self._choices
                  if not self._is_used(choice.name)}
        return self._genotype({**genes, **unused})

    def _is_used(self, name: str) -> bool:
        part = name.partition('.')[0]
        indices = self.backbone.get('out_indices')
        if self.is_classifier or part in ('resolution', 'stem'):
            return True
        return part != 'head' and (indices is None or int(part.removeprefix('stage')) <= max(indices) + 1)

    def size(self) -> int:
        """Return the number of genotypes: 4.4e11 with AttentiveNAS's preset as a classifier."""
        return math.prod(len(choice.legal) for choice in self._choices)

    def smallest(self) -> Genotype:
        """Return the genotype with the smallest value of every decision."""
        from nasdet.models.layers.mbconv_choices import extreme_child
        return Genotype(self.name, extreme_child(self.choices_of_children, min))

    def largest(self) -> Genotype:
        """Return the genotype with the largest value of every decision: the whole supernet."""
        from nasdet.models.layers.mbconv_choices import extreme_child
        return Genotype(self.name, extreme_child(self.choices_of_children, max))

    def coarse_grid(self) -> Iterator[Genotype]:
        """Yield the genotypes whose every kind of decision is as large, or as small, in the whole network."""
        from nasdet.models.layers.mbconv_choices import coarse_children
        seen = set()
        for value in coarse_children(self.choices_of_children):
            genotype = Genotype(self.name, value)
            if self.key(genotype) not in seen:
                seen.add(self.key(genotype))
                yield genotype

    def at_one_size(self, children: Mapping[str, Genotype], rng: np.random.Generator) -> dict[str, Genotype]:
        """Return the children of a training step, those of a detector with one resolution, drawn uniformly.

        Which anchors learn which object depends on the size of a detector's images, so that the outputs of its children
        can be compared at one size only.

        Args:
            children: By name.
            rng: The source of chance.
        """
        from nasdet.models.layers.mbconv_choices import genes_of
        sides = self.choices_of_children['resolution']
        if self.is_classifier or sides is None:
            return dict(children)
        side = int(rng.choice(sides))
        return {name: self._genotype({**genes_of(child.value), 'resolution': side}) for name, child in children.items()}

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
        applied = self._with_backbone(model, dict(type='MBConvNet', genotype=genotype.plain()), genotype)
        return self._with_resizing(applied, 'ResizingDetDataPreprocessor', side=genotype.value['resolution'])

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone holds the weights of all genotypes; ``model`` is not changed.

        An FPN becomes one that reads maps of any width; another neck, or a classifier's linear layer, needs stages of
        one width.

        Raises:
            ValueError: The space freezes what a supernet trains, or nothing in the model config could read the maps.
        """
        frozen = {'frozen_stages', 'norm_eval'} & self.backbone.keys()
        if frozen:
            raise ValueError(f'a supernet trains all of the backbone: leave {sorted(frozen)[0]} out of backbone')
        backbone = dict(type='MBConvSupernet', **self.choices_of_children)
        fitted = self._with_backbone(model, backbone, self.largest())
        fitted = self._with_resizing(fitted, 'ElasticDetDataPreprocessor', sides=self.choices_of_children['resolution'])
        stages = [self.choices_of_children['stages'][index] for index in fitted['backbone']['out_indices']]
        if self.is_classifier or all(len(stage['channels']) == 1 for stage in stages):
            return fitted
        return self._with_elastic_neck(fitted)

    def _with_elastic_neck(self, model: ConfigDict) -> ConfigDict:
        necks = model.get('neck')
        first = necks[0] if isinstance(necks, (list, tuple)) else necks
        reader = first['type'] if first else model['type']
        if reader not in FPN:
            raise ValueError(f"the children give {reader} maps of different widths, and only mmdet's FPN can share its "
                             f"weights over these: use an FPN, or give the stages that are read one number of channels "
                             f"each")
        first.update(type='ElasticFPN', stages=list(model['backbone']['out_indices']))
        return model

    def _with_resizing(self, model: ConfigDict, kind: str, **sizes) -> ConfigDict:
        """Have a detector's data_preprocessor resize images, where there is a resolution."""
        if self.is_classifier or self.choices_of_children['resolution'] is None:
            return model
        own = model.get('data_preprocessor') or {}
        if own.get('type') not in PREPROCESSORS:
            raise ValueError(f"images of a detector are resized to its resolution in place of mmdet's "
                             f"DetDataPreprocessor, and data_preprocessor is {own.get('type')}: change it, or leave "
                             f"resolution out of the space")
        model['data_preprocessor'] = ConfigDict({**own, 'type': kind, **sizes})
        return model

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where neck or heads do not fit a backbone of this space."""
        applied = self.apply(self.sample(np.random.default_rng(0)), model)
        detector.check(applied)
        detector.check_channels(applied)

    def _with_backbone(self, model: Mapping, backbone: Mapping, genotype: Genotype) -> ConfigDict:
        from nasdet.models.layers.mbconv_genotype import last_of_each_stride
        stages = genotype.plain()['stages']
        settings = dict(self.backbone)
        if self.is_classifier:
            if model.get('in_channels') is not None:
                raise ValueError(f'this {model.get("type")} has a linear layer of its own (in_channels), and so has '
                                 f'the backbone (head=True): leave one of them out')
            settings.setdefault('num_classes', (model.get('backbone') or {}).get('num_classes', 1000))
        return detector.replace_backbone(model, {**settings, **backbone}, [stage['channels'] for stage in stages],
                                         last_of_each_stride(stages))

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return the blocks in a chain: a row is a stage."""
        value = genotype.plain()
        graph = Graph([dict(id='stem', label=f'stem {value["stem_channels"]}', column=0, row=0, kind='stem')])
        for row, stage in enumerate(value['stages'], start=1):
            label = f'MB{stage["expansion"]} {stage["kernel"]}x{stage["kernel"]} {stage["channels"]}'
            for column in range(stage['depth']):
                node = dict(id=f'stage{row}.block{column + 1}', label=label, column=column, row=row,
                            kind=f'kernel {stage["kernel"]}')
                graph.edges.append((graph.nodes[-1]['id'], node['id'], ''))
                graph.nodes.append(node)
        return graph


def _preset(name: Optional[str], is_classifier: bool) -> dict:
    """Return the choices of a published space; without its resolutions, which only a classifier chooses."""
    if name is None:
        return {}
    if name not in PRESETS:
        raise ValueError(f'preset is one of {", ".join(PRESETS)}, not {name!r}')
    return {**PRESETS[name], 'resolution': PRESETS[name]['resolution'] if is_classifier else None}
