"""What an estimator must hold to."""

import tempfile
from pathlib import Path
from typing import Optional

from nasdet.estimators.base import Estimator
from nasdet.genotype import Genotype
from nasdet.protocol import Budget
from nasdet.testing.evaluations import check_claims, check_evaluation


def check_estimator(estimator: Estimator, genotype: Genotype, budget: Optional[Budget] = None,
                    seed: int = 0) -> None:
    """Check an estimator: equal arguments give equal metrics, and everything it returns is JSON data.

    Args:
        estimator: Fresh, not yet set up.
        genotype: One that it can score.
        budget: A small one; None leaves everything to the estimator.
        seed: Of the evaluations.
    """
    budget = budget or Budget()
    estimator.check()
    estimator.prepare()
    estimator.setup()
    fingerprint = estimator.fingerprint
    check_claims(estimator)
    with tempfile.TemporaryDirectory() as folder:
        first = estimator.evaluate(genotype, budget, seed, Path(folder))
    again = estimator.evaluate(genotype, budget, seed)
    check_evaluation(first, estimator.metric_names)
    assert again.metrics == first.metrics, 'equal arguments give other metrics the second time, or without a folder'
    assert estimator.fingerprint == fingerprint, 'fingerprint changes with use'
