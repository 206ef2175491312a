"""What all tests share: where the larger data sets lie on a machine that has them."""

import logging
import os
import sys
from pathlib import Path

import pytest

# One thread a test process: several run at once, and threads that wait for each other take minutes on a busy machine.
os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout that these tests belong to."""
    return ROOT


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """The folder of real data sets beside the checkout, which few machines have; without it the test is skipped."""
    folder = ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'needs the data sets in {folder}, which this machine does not have')
    return folder


@pytest.fixture(autouse=True)
def own_default_scope():
    """Forget the default scope that a Runner of a test has set: mmengine keeps it for the life of the process."""
    yield
    registry = sys.modules.get('mmengine.registry')
    if registry is not None:
        registry.DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def log_to_pytest(monkeypatch):
    """Let pytest see what nasdet logs: a search of an earlier test has sent it to its own file alone."""
    monkeypatch.setattr(logging.getLogger('nasdet'), 'propagate', True)
