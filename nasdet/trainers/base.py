"""What a trainer is: it searches within one training, in which weights and architecture change together."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Collection, Optional, Protocol, Sequence

from mmengine.config import Config

from nasdet.datasets.config import metric_names
from nasdet.datasets.contents import digest
from nasdet.datasets.tasks import task_of
from nasdet.genotype import Genotype
from nasdet.protocol import CostGoal, Evaluation
from nasdet.spaces.base import Space


class Record(Protocol):
    """Writes a step of a training to the search's history."""

    def __call__(self, number: int, genotype: Genotype, evaluation: Evaluation, candidate: bool = False) -> None:
        """Write one step; one that is written already, before a kill, stays as it is.

        Args:
            number: Of the step, from 0, without gaps.
            genotype: What the training would give if it ended here; of a candidate, the candidate.
            evaluation: Unrounded metrics on search-val, cost, and in ``fidelity`` what else a person wants to see.
            candidate: Whether this is an architecture that the search offers as its result; the best of these is
                exported. Other steps are shown along the way.
        """


class Trainer(ABC):
    """Searches an architecture within one training.

    The training is one mmengine Runner, or a few in a row, below ``WORK_DIR/training/``. It writes a checkpoint after
    each step (an epoch, or a phase of the method) and goes on from the newest one that is whole.

    Args:
        space: Of the genotypes.
        config: The whole prepared config (model, dataloaders, evaluators), without ``search``.
        work_dir: The search's folder.
    """

    requires: tuple[str, ...] = ()      # optional methods of Space that this trainer calls
    rewarded_by: Optional[str] = None   # the metric that it learns from by itself, which is then the only objective

    def __init__(self, space: Space, config: Config, work_dir: Path):
        self.space = space
        self.config = config
        self.work_dir = Path(work_dir)

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of steps of the whole search, candidates included."""

    @property
    @abstractmethod
    def images(self) -> int:
        """Training images that the whole search uses, repetitions counted: the cost that its control may spend."""

    @property
    def metric_names(self) -> Optional[Collection[str]]:
        """Names of the metrics that every step has; None where they are not known before.

        By default the figures of the config's metric.
        """
        return metric_names(self.config)

    def check(self) -> None:
        """Refuse, before anything is trained, what would fail later.

        Raises:
            ValueError: With a sentence that a person can act on.
        """

    @abstractmethod
    def run(self, record: Record) -> None:
        """Train from the newest checkpoint, or from the start, to the end.

        Each step is recorded before its checkpoint is written, so that a kill between the two repeats the step and
        loses nothing.

        Args:
            record: Takes each step.

        Raises:
            SearchError: The training failed.
        """

    def cost_goals(self, genotypes: Sequence[Genotype]) -> list[CostGoal]:
        """Return what the training had to come down to in cost, part by part, for the report; by default nothing.

        Args:
            genotypes: Of the steps so far, in order.
        """
        return []

    def weights(self, genotype: Genotype, path: Path) -> bool:
        """Write the weights that the training gave a genotype as a plain checkpoint; by default there are none.

        Args:
            genotype: A candidate.
            path: The file to write; its ``state_dict`` loads strictly into the model that ``space.apply`` makes.

        Returns:
            Whether there were weights to write.
        """
        return False

    @property
    def fingerprint(self) -> str:
        """Hash of the data and weights that the search starts from and its config does not name by content.

        By default of search-train and search-val.
        """
        return digest(type(self).__name__, task_of(self.config).digests(self.config)['trainval'])
