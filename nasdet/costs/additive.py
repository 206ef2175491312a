"""Multiply-adds as a sum over a table of blocks: a check takes microseconds, and limits can be chosen as quantiles.

Chen, Yang, Zhang, Meng, Xiao, Sun: DetNAS: Backbone Search for Object Detection. NeurIPS 2019, arXiv:1903.10979,
section 3.3, bounds its candidates by such a table.
"""

import logging
from functools import cached_property
from typing import Mapping, Optional, Sequence, Union

from nasdet.costs.complexity import Macs, count_modules
from nasdet.costs.distribution import SumDistribution, TooManySumsError
from nasdet.genotype import Genotype
from nasdet.registry import COSTS
from nasdet.spaces.base import Space

logger = logging.getLogger(__name__)


@COSTS.register_module()
class AdditiveMacs(Macs):
    """The same number as :class:`Macs`, for a space that declares ``block_modules``.

    The table is measured once on the meta device, with one network for each choice that a block has.

    Args:
        space: The space that applies genotypes.
        model: The detector's model config.
        limit: The largest number allowed, or ``dict(quantile=q)``: the smallest that a share q of all architectures,
            uniformly drawn, does not exceed; None only reports.
        scope: ``'backbone'``, ``'neck'`` or ``'model'`` (backbone, neck and dense head).
        input_shape: (C, H, W) of the image, whatever the scope.

    Raises:
        ValueError: The cost in this scope is no sum over the space's decisions.
    """

    def __init__(self, space: Space, model: Optional[Mapping] = None,
                 limit: Union[float, Mapping[str, float], None] = None, scope: str = 'backbone',
                 input_shape: Sequence[int] = (3, 224, 224)):
        if not space.can('block_modules'):
            raise ValueError(f'AdditiveMacs needs a space with block_modules(), {space.name} has none: use Macs')
        chosen = isinstance(limit, Mapping)
        super().__init__(space, model, None if chosen else limit, scope, input_shape)
        self.modules = space.block_modules(scope)
        if chosen:
            self.limit = self._quantile(limit)

    def __call__(self, genotype: Genotype) -> float:
        """Return the multiply-adds."""
        fixed, rows = self._table
        tokens = self.space.block_tokens(genotype, self.scope)
        return float(fixed + sum([row[token] for row, token in zip(rows, tokens)]))     # noqa: B905 - counts every us

    @cached_property
    def distribution(self) -> Optional[SumDistribution]:
        """The distribution over uniformly drawn architectures; None where its values are too many to list.

        A search then looks at samples, as with any other cost, and limits cannot be quantiles.
        """
        fixed, rows = self._table
        try:
            return SumDistribution(fixed, [list(row.values()) for row in rows])
        except TooManySumsError as error:
            logger.info('%s: %s, so limits are looked at by samples', self.name, error)
            return None

    def _quantile(self, limit: Mapping[str, float]) -> int:
        if set(limit) != {'quantile'} or not isinstance(limit['quantile'], (int, float)):
            raise ValueError(f'a limit is a number or dict(quantile=...), not {dict(limit)}')
        if self.distribution is None:
            raise ValueError(f'{self.name}: a quantile of {self.space.name} cannot be told, as its architectures have '
                             f'too many different costs: give limit as a number')
        return self.distribution.quantile(limit['quantile'])

    @cached_property
    def _table(self) -> tuple[int, list[dict[int, int]]]:
        """The multiply-adds of all but the blocks, and for each block those of each of its tokens."""
        decisions = self.space.walk(self._every(0))
        most = max((len(choice.legal) for choice, _ in decisions if choice.name in self.modules), default=1)
        names = [name.removeprefix(f'{self.scope}.') for name in self.modules.values()]
        rows: list[dict[int, int]] = [{} for _ in names]
        outside = set()
        for number in range(most):
            genotype = self.space.decode(self._every(number))
            macs = count_modules(*self._network(genotype), ['', *names])
            outside.add(macs[''] - sum(macs[name] for name in names))
            for row, token, name in zip(rows, self.space.block_tokens(genotype, self.scope), names, strict=True):
                row[token] = macs[name]
        if len(outside) > 1:
            raise ValueError(f'{self.name}: what is outside the blocks of {self.space.name} costs {sorted(outside)} '
                             f'MACs, depending on the blocks; use Macs')
        return outside.pop(), rows

    def _every(self, number: int) -> tuple[int, ...]:
        """Return the tokens of an architecture that takes the choice of that number at every block."""
        tokens: tuple[int, ...] = ()
        while (choice := self.space.choices(tokens)) is not None:
            tokens += (choice.legal[number % len(choice.legal) if choice.name in self.modules else 0],)
        return tokens
