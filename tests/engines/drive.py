"""A driver that starts two endless jobs and waits, to be killed: python -m tests.engines.drive WORK_DIR."""

import sys

from nasdet.engines import LocalEngine
from tests.engines.helpers import make_job

if __name__ == '__main__':
    engine = LocalEngine(sys.argv[1], slots=2, preload=())
    engine.start()
    for trial in range(2):
        engine.submit(make_job(sys.argv[1], trial))
    engine.poll()
