"""The engine of one machine: every trial in a process of its own, forked from one that has imported everything."""

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Optional, Sequence

import torch

from nasdet.engines.base import Engine, read_result
from nasdet.engines.fork_server import LOG as ENGINE_LOG
from nasdet.engines.fork_server import ForkServer
from nasdet.engines.process import DISK_FULL, LOG
from nasdet.protocol import Job, Outcome
from nasdet.registry import ENGINES

# What a training imports up to its first iteration. Two are not obvious: torchvision takes the time in collect_env(),
# which every stock Runner calls (the call itself must not be made before the fork: it initialises CUDA, which does not
# survive one), and yapf formats the config that RuntimeInfoHook keeps.
PRELOAD = ('mmengine.runner', 'mmdet.apis', 'mmdet.datasets', 'mmdet.engine', 'mmdet.evaluation', 'mmdet.models',
           'mmdet.visualization', 'nasdet.datasets', 'nasdet.estimators', 'nasdet.models', 'nasdet.spaces',
           'torchvision', 'yapf.yapflib.yapf_api')


@dataclass
class _Worker:
    """A process that has been forked, as the driver sees it; it is idle where it has no job."""

    number: int
    channel: Connection
    job: Optional[Job] = None
    submitted: float = 0.0

    def give(self, job: Job) -> None:
        """Send a job."""
        self.job, self.submitted = job, time.monotonic()
        with suppress(ConnectionError):     # it has died this moment: once that is reported, the job is lost
            self.channel.send_bytes(job.to_json().encode())


@ENGINES.register_module()
class LocalEngine(Engine):
    """Runs jobs in processes of this machine.

    An estimator that is not long-lived gets a fresh process for each job; one that is, a process for each slot,
    replaced where it dies. What a job prints goes to ``log.txt`` in its folder. With GPUs, slot i sees GPU i modulo
    their number, and no other. Whatever happens to the driver, no process outlives it.

    Args:
        work_dir: The search's folder.
        slots: Jobs that run at the same time.
        timeout: Seconds that a job may take from submit to end, start and set-up of its process included; then it
            is killed with all processes that it started. None: for ever.
        memory: Bytes that a worker, and each process that it starts, may allocate on top of the imported libraries
            (RLIMIT_DATA, which counts memory from its reservation on); with GPUs, bytes of its GPU instead. What
            exceeds it fails. None: no limit.
        preload: Modules that are imported once, before any process is forked; importing them must not run a tensor
            operation. Add what your own estimator imports.

    Raises:
        ValueError: Another system than Linux, or no slot.
    """

    def __init__(self, work_dir: str, slots: int = 1, timeout: Optional[float] = None, memory: Optional[int] = None,
                 preload: Sequence[str] = PRELOAD):
        if not sys.platform.startswith('linux'):
            raise ValueError(f'LocalEngine needs Linux, this is {sys.platform}: use InlineEngine')
        if slots < 1:
            raise ValueError(f'LocalEngine needs at least one slot, not {slots}')
        super().__init__(work_dir, slots)
        self.timeout, self.memory, self.preload = timeout, memory, preload
        self._gpus = visible_gpus()
        self._server: Optional[ForkServer] = None
        self._workers: dict[int, _Worker] = {}      # by slot
        self._forked = 0
        self._outcomes: list[Outcome] = []

    def start(self) -> None:
        """Start the fork server and wait until it has imported everything.

        Raises:
            SearchError: An import failed.
        """
        if self._server is None:
            self._server = ForkServer(self.work_dir, self.preload, self.memory)

    def submit(self, job: Job) -> None:
        """Hand a job to an idle worker, or to a new one.

        Raises:
            RuntimeError: Every slot has a job.
        """
        self._collect(0)    # an idle worker may have died, or the fork server
        self.start()
        slot = self._free_slot()
        if slot not in self._workers:
            self._workers[slot] = self._fork(slot)
        self._workers[slot].give(job)

    def poll(self, timeout: Optional[float] = None) -> list[Outcome]:
        """Return what has arrived; at once where no job is under way.

        Raises:
            OSError: A worker found the disk full.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._outcomes and self._busy():
            rest = None if until is None else max(0.0, until - time.monotonic())
            self._collect(rest)
            if rest == 0.0:
                break
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self, trial: int) -> None:
        """Kill the worker of a running job, with the processes that it started."""
        for slot, worker in self._busy().items():
            if worker.job.trial == trial:
                self._kill(slot)

    def close(self) -> None:
        """Kill all workers and end the fork server; jobs under way yield no outcome."""
        self._stop()
        self._outcomes.clear()

    # ---- what arrives

    def _collect(self, timeout: Optional[float]) -> None:
        """Wait up to ``timeout`` seconds for news of workers, and turn them, and jobs that are late, into outcomes."""
        if self._server is None:
            return
        busy = {worker.channel: worker for worker in self._busy().values() if not worker.channel.closed}
        ready = wait([*busy, self._server.pipe], self._until_late(timeout))
        for channel in busy.keys() & ready:
            self._hear(busy[channel])
        if self._server.pipe in ready:
            self._hear_server()
        for slot, worker in self._busy().items():
            if self.timeout is not None and time.monotonic() - worker.submitted >= self.timeout:
                self._add(worker, 'timeout', f'it took longer than {self.timeout:g} s')
                self._kill(slot)

    def _until_late(self, timeout: Optional[float]) -> Optional[float]:
        """Return the least of ``timeout`` and the seconds until the first job is late; None: for ever."""
        limits = [] if timeout is None else [timeout]
        if self.timeout is not None:
            now = time.monotonic()
            limits += [max(0.0, worker.submitted + self.timeout - now) for worker in self._busy().values()]
        return min(limits, default=None)

    def _hear(self, worker: _Worker) -> None:
        """Take the outcome of a worker that stays."""
        try:
            worker.channel.recv_bytes()
        except (EOFError, ConnectionError):
            worker.channel.close()      # it is dying: the fork server will say how
            return
        self._add(worker, 'lost', 'its process left no result')

    def _hear_server(self) -> None:
        """Take the outcomes of workers that have ended; where the fork server itself has, of all."""
        try:
            while self._server.pipe.poll():
                report = self._server.receive()
                self._end_worker(report['exit'], report['status'])
        except (EOFError, ConnectionError):
            for worker in self._busy().values():
                self._add(worker, 'lost', f'the fork server died; see {Path(self.work_dir) / ENGINE_LOG}')
            self._stop()

    def _end_worker(self, number: int, status: int) -> None:
        for slot, worker in list(self._workers.items()):
            if worker.number == number:
                self._drop(slot)
                if worker.job is not None and status == DISK_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), worker.job.folder)
                if worker.job is not None:
                    self._add(worker, 'lost', describe(status))

    def _add(self, worker: _Worker, status: str, error: str) -> None:
        """Add the outcome that a worker left on the disk, else one of this status."""
        job, worker.job = worker.job, None
        seconds = time.monotonic() - worker.submitted
        self._outcomes.append(read_result(job) or Outcome(job.trial, status, None, error, seconds))

    # ---- slots

    def _busy(self) -> dict[int, _Worker]:
        return {slot: worker for slot, worker in self._workers.items() if worker.job is not None}

    def _free_slot(self) -> int:
        free = [slot for slot in range(self.slots) if slot not in self._busy()]
        if not free:
            raise RuntimeError(f'all {self.slots} slots have a job: poll before the next submit')
        return next((slot for slot in free if slot in self._workers), free[0])

    def _fork(self, slot: int) -> _Worker:
        self._forked += 1
        gpu = self._gpus[slot % len(self._gpus)] if self._gpus else None
        return _Worker(self._forked, self._server.fork(self._forked, gpu))

    def _kill(self, slot: int) -> None:
        self._server.kill(self._workers[slot].number)
        self._drop(slot)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for slot in list(self._workers):
            self._drop(slot)

    def _drop(self, slot: int) -> None:
        self._workers.pop(slot).channel.close()


def describe(status: int) -> str:
    """Say how a process ended that left no result, from its exit status or minus its signal."""
    if status == -signal.SIGKILL:
        return 'its process was killed by SIGKILL (where nobody did: the system was out of memory)'
    if status < 0:
        return f'its process was killed by {signal.Signals(-status).name}'
    return f'its process ended with status {status} and left no result; see {LOG} in its folder'


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, each as one entry of ``CUDA_VISIBLE_DEVICES``."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    return named.split(',') if named else [str(i) for i in range(torch.cuda.device_count())]
