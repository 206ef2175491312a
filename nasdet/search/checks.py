"""What a sampling search and a search within one training check alike before they start."""

from pathlib import Path
from typing import Optional, Sequence, Union

from mmengine.config import ConfigDict

from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.estimators.base import Estimator
from nasdet.history import History
from nasdet.objective import Objective
from nasdet.spaces.base import Space
from nasdet.trainers.base import Trainer


def check_fit(part: Union[Estimator, Trainer], space: Space, costs: Sequence[Cost], objective: Objective,
              model: Optional[ConfigDict]) -> None:
    """Refuse a space that an estimator or a trainer, or the model, cannot use, and an objective that is not measured.

    Args:
        part: The estimator or the trainer.
        space: That it works on.
        costs: Those whose values are measured too.
        objective: Of the search.
        model: Config of the network; None where the estimator needs none.

    Raises:
        ValueError: With a sentence that a person can act on.
    """
    missing = [method for method in part.requires if not space.can(method)]
    if missing:
        raise ValueError(f'{type(part).__name__} needs a space with {missing[0]}(), {space.name} has none')
    if model is not None and space.can('check_model'):
        space.check_model(model)
    if part.metric_names is not None:
        objective.check([*part.metric_names, *(cost.name for cost in costs)])


def check_fingerprint(part: Union[Estimator, Trainer], history: History, work_dir: Path) -> None:
    """Refuse to go on with other data or weights than the search began with; note them at its beginning.

    Args:
        part: The estimator or the trainer.
        history: Of the search, open.
        work_dir: For the message.

    Raises:
        SearchError: They have changed.
    """
    fingerprint, stored = part.fingerprint, history.meta('fingerprint')
    if stored not in (None, fingerprint):
        raise SearchError(f'{work_dir}: the data or the checkpoint that the search began with has changed since; '
                          f'restore it, or choose another --work-dir')
    history.set_meta('fingerprint', fingerprint)
