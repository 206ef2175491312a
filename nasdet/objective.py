"""What a search maximises: one metric, or several."""

from difflib import get_close_matches
from typing import Iterable, Mapping, Union

from nasdet.protocol import Reward

SIGNS = {'max': 1.0, 'min': -1.0}


class Objective:
    """Turns raw metrics and costs into the reward, which is always maximised.

    Args:
        spec: The name of a metric to maximise (``'coco/bbox_mAP'``), or a dict of names, of metrics or costs, with
            ``'max'`` or ``'min'`` each: ``{'coco/bbox_mAP': 'max', 'Macs(neck)': 'min'}``.

    Raises:
        ValueError: Another form.
    """

    def __init__(self, spec: Union[str, Mapping[str, str]]):
        goals = {spec: 'max'} if isinstance(spec, str) else dict(spec)
        if not goals or not all(goal in SIGNS for goal in goals.values()):
            raise ValueError(f"objective: a metric's name, or a dict of names with 'max' or 'min', not {spec!r}")
        self.goals = goals

    @classmethod
    def from_cfg(cls, search: Mapping) -> 'Objective':
        """Return the objective of a config's ``search``: where it names none, the mAP of boxes."""
        return cls(search.get('objective', 'coco/bbox_mAP'))

    @property
    def many(self) -> bool:
        """Whether there are several objectives, so that the reward is a tuple."""
        return len(self.goals) > 1

    def check(self, known: Iterable[str]) -> None:
        """Refuse an objective that will not be measured.

        Args:
            known: Names of the metrics and costs that will be.

        Raises:
            ValueError: Suggests the nearest name.
        """
        known = sorted(known)
        for name in self.goals:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise ValueError(f'objective {name!r} is not measured: '
                                 + (f'did you mean {near[0]!r}?' if near else f'measured are {", ".join(known)}'))

    def reward(self, metrics: Mapping[str, float], costs: Mapping[str, float]) -> Reward:
        """Return the reward; KeyError names an objective that is neither a metric nor a cost."""
        known = {**costs, **metrics}
        missing = [name for name in self.goals if name not in known]
        if missing:
            raise KeyError(f'objective {missing[0]!r} is not among the measured {sorted(known)}')
        values = tuple(SIGNS[goal] * known[name] for name, goal in self.goals.items())
        return values if self.many else values[0]
