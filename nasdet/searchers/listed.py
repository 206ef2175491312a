"""A list of architectures as a search: the second look at the best of another one.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, appendix A: the 250 best networks of the search are trained again, until they converge.
"""

from pathlib import Path
from typing import Optional

import numpy as np

from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.protocol import Proposal
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.spaces.base import Space


@SEARCHERS.register_module()
class ListSearcher(Searcher):
    """Proposes the genotypes of a file, each once, in their order.

    Args:
        space: That holds them.
        file: One genotype as JSON a line, as ``nasdet export --top-k`` writes them.

    Raises:
        ValueError: There is no such file, it is empty, or a line of it is no genotype of the space.
    """

    many_objectives = True

    def __init__(self, space: Space, file: str):
        super().__init__(space)
        self.file = file
        self.genotypes = _read(space, Path(file))
        self.number = 0         # of those proposed

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return the next genotype of the list."""
        if self.finished:
            return None
        genotype = self.genotypes[self.number]
        return Proposal(genotype, self.space.encode(genotype))

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Go on to the next one.

        Raises:
            SearchError: The file has changed since the search began.
        """
        if self.finished or proposal.genotype != self.genotypes[self.number]:
            raise SearchError(f'{self.file} has changed: trial {trial} is another genotype than its line '
                              f'{self.number + 1}; restore it, or choose another --work-dir')
        self.number += 1

    @property
    def finished(self) -> bool:
        """Whether all are proposed."""
        return self.number >= len(self.genotypes)

    @property
    def ending(self) -> str:
        """How many they were, in words."""
        return f'all {len(self.genotypes)} genotypes of {self.file} are proposed'

    def state_dict(self) -> dict:
        """Return how many are proposed."""
        return dict(number=self.number)

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.number = state['number']


def _read(space: Space, path: Path) -> list[Genotype]:
    if not path.exists():
        raise ValueError(f'{path} does not exist: write it with nasdet export WORK_DIR --top-k K --out {path}')
    genotypes = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            genotypes.append(Genotype.from_json(line))
            space.check(genotypes[-1])
        except ValueError as error:
            raise ValueError(f'{path}, line {number}: {error}') from error
    if not genotypes:
        raise ValueError(f'{path} is empty, and a search needs a genotype at least')
    return genotypes
