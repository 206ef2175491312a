"""What the suites of estimators and trainers have in common: both make evaluations of genotypes of a space."""

import json
import math
from dataclasses import asdict
from typing import Collection, Optional, Union

from nasdet.estimators.base import Estimator
from nasdet.protocol import Evaluation
from nasdet.trainers.base import Trainer


def check_claims(part: Union[Estimator, Trainer]) -> None:
    """Check what an estimator or a trainer says of itself: a fingerprint, and methods that its space has."""
    assert isinstance(part.fingerprint, str) and part.fingerprint, f'fingerprint is {part.fingerprint!r}, not a hash'
    for method in part.requires:
        assert part.space.can(method), f'it requires Space.{method}, which its space does not have'


def check_evaluation(evaluation: Evaluation, metric_names: Optional[Collection[str]]) -> None:
    """Check an evaluation: finite metrics, those that were announced among them, and JSON data throughout.

    Args:
        evaluation: Of one genotype.
        metric_names: What was announced; None: nothing.
    """
    assert isinstance(evaluation, Evaluation), f'this is {type(evaluation).__name__}, not an Evaluation'
    assert evaluation.metrics, 'an evaluation has no metrics'
    missing = set(metric_names or ()) - evaluation.metrics.keys()
    assert not missing, f'metric_names has {missing}, an evaluation has not'
    for name, value in evaluation.metrics.items():
        assert isinstance(value, float) and math.isfinite(value), f'metric {name} is {value!r}, not a finite float'
    data = json.loads(json.dumps(asdict(evaluation), allow_nan=False))
    assert data == asdict(evaluation), f'an evaluation changes on its way through JSON: {evaluation}'
