"""The width multiplier: what a search of widths is compared with.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4.1, whose baseline multiplies all widths by one factor.
"""

from typing import Mapping, Optional, Union

import numpy as np

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.spaces.base import Space


@SEARCHERS.register_module()
class UniformWidthSearcher(Searcher):
    """Proposes one genotype: the space's network with all widths multiplied by the factor that meets a budget.

    Args:
        space: A WidthSpace: with ``seed``, ``cost`` and ``expanded``.
        budget: What it may cost, as a share of what the space's network costs.
        target: As for :class:`~nasdet.models.channels.Resource`: ``'macs'``, ``'params'``, ``'activations'``, or a
            dict with the device of ``'latency'``.

    Raises:
        ValueError: The space is of another kind, or holds no network of that cost.
    """

    many_objectives = True

    def __init__(self, space: Space, budget: float = 1.0, target: Union[str, Mapping] = 'macs'):
        super().__init__(space)
        if not all(space.can(method) for method in ('seed', 'cost', 'expanded')):
            raise ValueError(f'UniformWidthSearcher scales the widths of a WidthSpace, and {space.name} has none')
        self.budget, self.target = budget, target
        self.genotype = self._scaled()
        self.finished_asking = False

    def _scaled(self) -> Genotype:
        seed = self.space.seed()
        return self.space.expanded(seed, self.budget * self.space.cost(seed, self.target), self.target)

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return the genotype, once."""
        return None if self.finished else Proposal(self.genotype, self.space.encode(self.genotype))

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Have nothing more to propose."""
        self.finished_asking = True

    @property
    def finished(self) -> bool:
        """Whether it is proposed."""
        return self.finished_asking

    @property
    def ending(self) -> str:
        """What it was, in words."""
        target = self.target if isinstance(self.target, str) else self.target['type']
        return f'the network scaled to {self.budget:g} of its {target} is proposed'

    def state_dict(self) -> dict:
        """Return whether it is proposed."""
        return dict(asked=self.finished_asking)

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.finished_asking = state['asked']
