"""The plain values that searchers, estimators, engines and the loop hand to each other; all of them JSON data."""

import json
from dataclasses import asdict, dataclass, field
from typing import Optional, Sequence, Union

from nasdet.genotype import Genotype

Reward = Union[float, tuple[float, ...]]


@dataclass(frozen=True)
class Budget:
    """What one evaluation may spend; None leaves it to the estimator.

    Args:
        epochs: Training epochs.
        images: Images evaluated for the score.
        resolution: Input side in pixels.
    """

    epochs: Optional[int] = None
    images: Optional[int] = None
    resolution: Optional[int] = None


@dataclass(frozen=True)
class Proposal:
    """A genotype to score.

    Args:
        genotype: As proposed, not canonical: the network is built from it.
        tokens: The decisions as sampled; log-probabilities belong to them.
        budget: What its evaluation may spend.
        meta: JSON data of the searcher, given back with the result (log-probabilities, parents).
    """

    genotype: Genotype
    tokens: tuple[int, ...]
    budget: Budget = Budget()
    meta: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What became of a proposal.

    Args:
        status: ``'ok'``, ``'failed'`` (its evaluation raised, died or ran out of time) or ``'refused'`` (by a cost).
        reward: To be maximised; None unless ok. A tuple where the search has several objectives.
        metrics: Raw, unrounded metrics of the evaluation.
        costs: Value of each cost, by its name.
        error: The end of the traceback, or why it was refused.
    """

    status: str
    reward: Optional[Reward] = None
    metrics: dict = field(default_factory=dict)
    costs: dict = field(default_factory=dict)
    error: str = ''


@dataclass(frozen=True)
class Evaluation:
    """What an estimator measured.

    Args:
        metrics: Unrounded metrics by name, such as ``'coco/bbox_mAP'``; higher or lower is the objective's business.
        cost: What it took: ``seconds``, and where they apply ``images``, ``iterations``.
        fidelity: The budget actually used, and what else the score depends on (checkpoint, calibration images).
        curve: ``[step, value]`` pairs of the principal metric along the evaluation.
    """

    metrics: dict
    cost: dict = field(default_factory=dict)
    fidelity: dict = field(default_factory=dict)
    curve: list = field(default_factory=list)


@dataclass(frozen=True)
class CostGoal:
    """What a part of a training had to come down to in cost, and how far it came.

    Args:
        part: Of the training, such as 'round 1'.
        cost: Its name, such as 'latency'.
        unit: Of the cost, such as 's'.
        start: Cost at the start of the part.
        wanted: The largest cost that would do.
        steps: Cost after each step so far.
        reached: Cost at the end, or so far; None where there is none yet.
        missed: A sentence, without its full stop, that says so where the part has ended above what was wanted.
    """

    part: str
    cost: str
    unit: str
    start: float
    wanted: float
    steps: Sequence[float] = ()
    reached: Optional[float] = None
    missed: str = ''


@dataclass(frozen=True)
class Job:
    """One evaluation to run; JSON on the wire.

    Args:
        trial: Its number in the history.
        attempt: 1 for the first; more after its process was lost.
        key: The space's key of the genotype.
        genotype: As proposed.
        budget: What it may spend.
        seed: Of the evaluation.
        folder: Where its files go, absolute.
    """

    trial: int
    attempt: int
    key: str
    genotype: Genotype
    budget: Budget
    seed: int
    folder: str

    def to_json(self) -> str:
        """Return the job as JSON text."""
        plain = {**self.__dict__, 'genotype': self.genotype.to_json(), 'budget': asdict(self.budget)}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> 'Job':
        """Read what :meth:`to_json` wrote."""
        plain = json.loads(text)
        return cls(**{**plain, 'genotype': Genotype.from_json(plain['genotype']), 'budget': Budget(**plain['budget'])})


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        trial: The job's trial.
        status: ``'ok'``, ``'failed'`` (evaluate raised), ``'lost'`` (its process died) or ``'timeout'``.
        evaluation: Where ok.
        error: Where not: the end of the traceback, or the signal's name.
        seconds: Wall time of the evaluation.
    """

    trial: int
    status: str
    evaluation: Optional[Evaluation] = None
    error: str = ''
    seconds: float = 0.0
