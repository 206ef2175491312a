"""What a confirmation compares: the network as it was, published architectures, and the best of a search."""

from dataclasses import dataclass
from typing import Sequence

from mmengine.config import Config, ConfigDict

from nasdet import zoo
from nasdet.datasets.tasks import task_of
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.history.record import Record
from nasdet.spaces.detector import backbone_channels, channels_to_neck


@dataclass(frozen=True)
class Candidate:
    """An architecture to confirm.

    Args:
        name: ``'detector'`` or ``'classifier'`` for the network as it was, a name of the zoo, or ``'trial-000012'``.
        key: The space's key of its genotype; ``''`` for the network as it was.
        model: Its model config.
    """

    name: str
    key: str
    model: ConfigDict


def choose(config: Config, space, record: Record, top_k: int, baselines: Sequence[str] = ()) -> list[Candidate]:
    """Return the network as it was, the baselines, and the ``top_k`` best distinct architectures of a search.

    Raises:
        SearchError: No trial has succeeded, or a baseline that is unknown or of another space.
    """
    if top_k < 1:
        raise SearchError(f'--top-k is at least 1, not {top_k}')
    ranking = record.ranking[:top_k]
    if not ranking:
        raise SearchError('no trial of this search has succeeded: there is nothing to confirm')
    chosen = [Candidate(task_of(config).NOUN, '', config.model)]
    for name in baselines:
        try:
            genotype = zoo.load(name)
        except ValueError as error:
            raise SearchError(f'--baselines: {error}') from error
        model = published(space, genotype, ranking[0].proposal.genotype, config.model)
        chosen.append(Candidate(name, genotype.digest(), model))
    for trial in ranking:
        model = space.apply(trial.proposal.genotype, config.model)
        chosen.append(Candidate(f'trial-{trial.trial:06d}', trial.key, model))
    return chosen


def published(space, genotype: Genotype, member: Genotype, model: ConfigDict) -> ConfigDict:
    """Return a model config with a published genotype in the place of a member of the space.

    The genotype need not lie in the space itself, which may have another number of cells, say; the network reads it.

    Raises:
        SearchError: The genotype is of another kind of space.
    """
    if genotype.space != space.name:
        raise SearchError(f'--baselines: a genotype of {genotype.space} does not fit a search of {space.name}')
    applied = space.apply(member, model)
    for part in applied.values():
        if isinstance(part, dict) and 'genotype' in part:
            part['genotype'] = genotype.plain()
    backbone = applied.get('backbone') or {}
    has_head = backbone.get('head') or backbone.get('num_classes') is not None
    if 'genotype' in backbone and not has_head:     # its maps may have other channels than the member's
        applied = channels_to_neck(applied, backbone_channels(backbone))
    return applied


def check_buildable(candidates: Sequence[Candidate]) -> None:
    """Refuse a model config that cannot be built, before the first training."""
    from nasdet.models.meta import build_on_meta
    for candidate in candidates:
        try:
            build_on_meta(candidate.model)
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            raise SearchError(f'{candidate.name} cannot be built: {error}') from error
