"""How a worker process comes by its estimator: from the prepared config in the work dir, and nothing else."""

from pathlib import Path

from mmengine.config import Config

from nasdet.estimators.base import Estimator
from nasdet.registry import ESTIMATORS, SPACES, build

CONFIG = 'config.py'


def build_estimator(work_dir: str) -> Estimator:
    """Build the estimator of a search from ``WORK_DIR/config.py``.

    Args:
        work_dir: The search's folder; its config is the prepared one, with every split and path filled in.

    Returns:
        The estimator, not yet set up.
    """
    config = Config.fromfile(str(Path(work_dir) / CONFIG))
    search = config.pop('search')
    space = build(SPACES, search.space)
    return build(ESTIMATORS, search.estimator, dict(seed=search.get('seed', 0)), space=space, config=config,
                 work_dir=search.get('shared_dir', work_dir))
