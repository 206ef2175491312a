"""What an estimator is: it says how good an architecture is."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Collection, Optional

from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.spaces.base import Space


class Estimator(ABC):
    """Scores genotypes.

    Args:
        space: The space that applies genotypes.
        config: The whole prepared config (model, dataloaders, evaluators), without ``search``; None where there
            is no network, as with a table.
        work_dir: The search's folder; what :meth:`prepare` makes lies under it.
    """

    requires: tuple[str, ...] = ()      # optional methods of Space that this estimator calls
    long_lived = False                  # True: one worker process scores many genotypes after one setup()
    threads = 1                         # CPU threads of a worker; a part of the result, never derived from slots

    def __init__(self, space: Space, config=None, work_dir: Optional[Path] = None):
        self.space = space
        self.config = config
        self.work_dir = Path(work_dir) if work_dir is not None else None

    @property
    def metric_names(self) -> Optional[Collection[str]]:
        """Names of the metrics that :meth:`evaluate` gives; None where they are not known before."""
        return None

    @property
    def training_images(self) -> Optional[int]:
        """Training images that one evaluation uses, repetitions counted; None where it trains nothing alone."""
        return None

    def check(self) -> None:
        """Refuse, in the driver and before anything is trained, what would fail later.

        Raises:
            ValueError: With a sentence that a person can act on.
        """

    def prepare(self) -> None:
        """Make what all workers share (a trained supernet), once, in the driver; resumes after a kill."""

    def setup(self) -> None:
        """Load what one worker needs: data, supernet. Called once in each worker, before the first evaluate."""

    @abstractmethod
    def evaluate(self, genotype: Genotype, budget: Budget, seed: int, folder: Optional[Path] = None) -> Evaluation:
        """Score a genotype.

        Args:
            genotype: As proposed.
            budget: Fields that are None take the estimator's own value.
            seed: The only source of chance: equal arguments give equal metrics.
            folder: Where this evaluation may leave files (``config.py``, ``weights.pth``); the score never
                depends on it.

        Returns:
            The evaluation; an exception means that the trial failed.
        """

    def weights(self, genotype: Genotype, folder: Optional[Path], path: Path) -> bool:
        """Write the trained weights of a genotype as a plain checkpoint, for an export; by default there are none.

        Called in the driver, after :meth:`prepare`; :meth:`setup` may not have been called.

        Args:
            genotype: As it was evaluated.
            folder: Where that evaluation left its files; None where it was not evaluated.
            path: The file to write; its ``state_dict`` loads strictly into the model that ``space.apply`` makes.

        Returns:
            Whether there were weights to write.
        """
        return False

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything but genotype, budget and seed that the score depends on: a part of every cache key."""
