"""Estimators for the tests of engines: each reports what it sees of its process."""

import os
import signal
import subprocess
import time
from pathlib import Path

import torch

from nasdet.engines.base import write_result
from nasdet.protocol import Evaluation, Job, Outcome
from nasdet.registry import ESTIMATORS
from tests.engines.helpers import wait_until
from tests.toys import ToyEstimator, append_line

MEETING = 100


@ESTIMATORS.register_module()
class ProcessEstimator(ToyEstimator):
    """Measures its process, and says on standard output that it does; its set-up can be told to fail.

    Evaluations with a seed from ``MEETING`` on end when three of them run at the same time.

    Args:
        setups: A file to which each set-up appends its process id.
        lives_long: See :class:`nasdet.estimators.base.Estimator`.
        broken: Whether the set-up raises.
        **toy: Arguments of ToyEstimator.
    """

    threads = 2

    def __init__(self, *arguments, setups=None, lives_long=False, broken=False, **toy):
        super().__init__(*arguments, **toy)
        self.setups, self.long_lived, self.broken = setups, lives_long, broken

    def setup(self):
        if self.broken:
            raise FileNotFoundError('supernet.pth is not there')
        if self.setups:
            append_line(self.setups, str(os.getpid()))

    def evaluate(self, genotype, budget, seed, folder=None):
        print(f'evaluating seed {seed}')
        started = time.time()
        super().evaluate(genotype, budget, seed, folder)
        if seed >= MEETING:
            meeting = Path(folder).parent / 'meeting'
            append_line(meeting, str(seed))
            if not wait_until(lambda: len(meeting.read_text().split()) == 3, 30):
                raise TimeoutError('three jobs never ran at the same time')
        return Evaluation(dict(pid=os.getpid(), threads=torch.get_num_threads(), started=started))


@ESTIMATORS.register_module()
class ParentEstimator(ToyEstimator):
    """Starts a child process, writes its process id and its own to a file ``pids``, and waits for ever."""

    def evaluate(self, genotype, budget, seed, folder=None):
        child = subprocess.Popen(['sleep', '600'])
        partial = Path(folder) / 'pids.partial'
        partial.write_text(f'{os.getpid()} {child.pid}')
        partial.rename(Path(folder) / 'pids')
        time.sleep(600)


@ESTIMATORS.register_module()
class ResultThenDeath(ToyEstimator):
    """Dies with its result on the disk, before its process can say so; the seed is the trial's number."""

    def evaluate(self, genotype, budget, seed, folder=None):
        job = Job(seed, 1, self.space.key(genotype), genotype, budget, seed, str(folder))
        write_result(job, Outcome(seed, 'ok', Evaluation(dict(score=0.5))))
        os.kill(os.getpid(), signal.SIGKILL)
