"""What a worker process does, from the fork to its end."""

import ctypes
import errno
import faulthandler
import os
import resource
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Optional

import torch

from nasdet.engines.base import TRACEBACK_CHARACTERS, run_job, write_result
from nasdet.engines.worker import build_estimator
from nasdet.errors import is_disk_full
from nasdet.estimators.base import Estimator
from nasdet.protocol import Job, Outcome

LOG = 'log.txt'
DONE = b'done'
DISK_FULL = errno.ENOSPC    # exit status of a worker that found no room for its files
PR_SET_PDEATHSIG = 1    # linux/prctl.h


def work(channel: Connection, work_dir: str, gpu: Optional[str], memory: Optional[int]) -> None:
    """Do one job, or where the estimator is long-lived, as many as come.

    A job's outcome is its ``result.json``. A worker that stays says ``DONE`` after each job; one that does not stay
    says it by ending.

    Args:
        channel: Carries jobs in and ``DONE`` out.
        work_dir: The search's folder.
        gpu: The one GPU that this worker sees, as in ``CUDA_VISIBLE_DEVICES``; None where there is none.
        memory: See :class:`nasdet.engines.local.LocalEngine`.
    """
    faulthandler.enable()       # a crash of a native library leaves its traceback in the job's log
    if gpu is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = gpu
    job = receive(channel)
    limit_memory(memory)
    estimator = set_up(work_dir, job)
    if estimator is None:
        return
    run_job(estimator, job)
    while estimator.long_lived:
        channel.send_bytes(DONE)
        run_job(estimator, receive(channel))


def receive(channel: Connection) -> Job:
    """Wait for the next job, and print to its log from then on."""
    job = Job.from_json(channel.recv_bytes().decode())
    log_to(Path(job.folder))
    return job


def set_up(work_dir: str, job: Job) -> Optional[Estimator]:
    """Return the estimator, ready to evaluate; None where that raised, which is the first job's failure."""
    try:
        estimator = build_estimator(work_dir)
        torch.set_num_threads(estimator.threads)
        estimator.setup()
        return estimator
    except Exception as error:      # noqa: BLE001 - what a set-up raises is the failure of the job that waits for it
        if is_disk_full(error):
            raise
        write_result(job, Outcome(job.trial, 'failed', None, traceback.format_exc()[-TRACEBACK_CHARACTERS:]))
        traceback.print_exc()
        return None


def log_to(folder: Path) -> None:
    """Append all that the process prints from now on to the folder's ``log.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)     # else a killed worker leaves an empty log


def limit_memory(memory: Optional[int]) -> None:
    """Make allocations beyond ``memory`` bytes fail: of the GPU where there is one, else of the process."""
    if memory is None:
        return
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total))
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data_size() + memory, hard))


def data_size() -> int:
    """Return the bytes of this process that RLIMIT_DATA counts: private writable memory, touched or not."""
    pages = int(Path('/proc/self/statm').read_text().split()[5])
    return pages * resource.getpagesize()


def die_with_parent(parent: int, signum: int) -> None:
    """Have the kernel send a signal to this process when its parent dies.

    Args:
        parent: Process id of the parent; where it is gone already, this process ends here.
        signum: The signal.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_PDEATHSIG) failed')
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
