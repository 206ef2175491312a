"""A search that has begun, opened by a command that does not go on with it: report, export, confirm."""

from pathlib import Path
from typing import Callable, Optional

from nasdet.config import load_config, network_of
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.history.workdir import WorkDir
from nasdet.registry import COSTS, ESTIMATORS, SPACES, TRAINERS, build


class ExistingSearch:
    """The folder, the prepared config and the components of a search.

    Args:
        path: Its work dir.

    Raises:
        SearchError: No search has begun there, or a component of its config cannot be built here.
    """

    def __init__(self, path):
        self.folder = WorkDir.existing(path)
        if not self.folder.config.exists():
            raise SearchError(f'{self.folder.path} has no config.py: the search was stopped before it began; '
                              f'run it again')
        self.config = load_config(str(self.folder.config))
        self.space = self._build(SPACES, self.config.search.space)

    def costs(self) -> list:
        """Return the costs."""
        model = self.config.get('model')
        return [self._build(COSTS, cost, space=self.space, model=model) for cost in self.config.search.get('costs', [])]

    def weights(self) -> Callable[[Genotype, Optional[Path], Path], bool]:
        """Return what writes the weights that the search has for a genotype, where it has some.

        It takes the genotype, the folder of its evaluation (None where it was not evaluated) and the file to write,
        and returns whether there were weights.
        """
        trainer = self.trainer()
        if trainer is not None:
            return lambda genotype, folder, path: trainer.weights(genotype, path)
        return self._build(ESTIMATORS, self.config.search.estimator, **self._surroundings()).weights

    def trainer(self):
        """Return the trainer of a search within one training, or None."""
        search = self.config.search
        return self._build(TRAINERS, search.trainer, **self._surroundings()) if 'trainer' in search else None

    def _surroundings(self) -> dict:
        """Return what an estimator and a trainer are built with."""
        folder = self.config.search.get('shared_dir', self.folder.path)
        return dict(space=self.space, config=network_of(self.config), work_dir=folder)

    def _build(self, registry, cfg, **context):
        try:
            return build(registry, cfg, **context)
        except ValueError as error:
            raise SearchError(f'{self.folder.config}: {error}') from error
