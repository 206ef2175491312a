"""A process that has imported everything and forks the workers, so that a trial need not wait for imports.

The fork server of ``multiprocessing`` is not used because it imports the driver's main script in every worker,
hides a failing preload, has one environment for all its users, and reaps a worker without the worker's children.

The driver holds a :class:`ForkServer`; :func:`main` is the process. Both speak JSON over a pipe: ``fork`` (a pipe's
end follows) and ``kill`` go in; ``ready`` or ``error`` and, for every worker, ``exit`` with its status come out.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Optional

from nasdet.engines.process import DISK_FULL, die_with_parent, work
from nasdet.errors import SearchError, is_disk_full

LOG = 'engine.log'
STOP_SECONDS = 10
# One thread per library until a worker knows its estimator's threads: a thread pool does not survive a fork. And
# counting GPUs must not initialise CUDA, which does not survive it either.
ENVIRONMENT = dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1',
                   PYTORCH_NVML_BASED_CUDA_CHECK='1')
# The module search path is the driver's, whatever script the driver runs.
COMMAND = ('import json, sys; sys.path[:] = json.loads(sys.argv[2]); from nasdet.engines.fork_server import main; '
           'main(int(sys.argv[1]), **json.loads(sys.argv[3]))')


class ForkServer:
    """The driver's side: starts the process and speaks to it.

    The thread that creates it must live as long as it does: the kernel takes the end of that thread for the
    driver's death, and the fork server ends with the driver.

    Args:
        work_dir: The search's folder; what the process prints goes to its ``engine.log``.
        preload: Modules to import before any fork.
        memory: See :class:`nasdet.engines.local.LocalEngine`.

    Raises:
        SearchError: A module cannot be imported.
    """

    def __init__(self, work_dir: str, preload: list[str], memory: Optional[int]):
        self.pipe, theirs = Pipe()
        settings = dict(driver=os.getpid(), work_dir=work_dir, preload=list(preload), memory=memory)
        command = [sys.executable, '-c', COMMAND, str(theirs.fileno()), json.dumps(sys.path), json.dumps(settings)]
        log = Path(work_dir) / LOG
        with theirs, open(log, 'a') as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                             pass_fds=[theirs.fileno()], env={**os.environ, **ENVIRONMENT},
                                             start_new_session=True)
        try:
            error = self.receive().get('error')
        except EOFError:
            error = f'it ended with status {self._process.wait()}; see {log}'
        if error:
            self.close()
            raise SearchError(f'the fork server could not import {", ".join(preload)}:\n{error}')

    def fork(self, number: int, gpu: Optional[str]) -> Connection:
        """Fork a worker.

        Args:
            number: Its name in :meth:`kill` and in the messages; never used twice.
            gpu: See :func:`nasdet.engines.process.work`.

        Returns:
            The driver's end of the pipe to the worker.
        """
        ours, theirs = Pipe()
        with theirs, suppress(ConnectionError):     # a dead process is noticed at the next receive
            self._send(dict(fork=number, gpu=gpu))
            send_handle(self.pipe, theirs.fileno(), self._process.pid)
        return ours

    def kill(self, number: int) -> None:
        """Kill a worker and the processes that it started; nothing happens where it is gone already."""
        with suppress(ConnectionError):
            self._send(dict(kill=number))

    def receive(self) -> dict:
        """Return the next message of the process, waiting for it.

        Raises:
            EOFError: The process is gone.
        """
        return json.loads(self.pipe.recv_bytes())

    def close(self) -> None:
        """Kill all workers, end the process and wait for its end."""
        self.pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: dict) -> None:
        self.pipe.send_bytes(json.dumps(message).encode())


def main(descriptor: int, driver: int, work_dir: str, preload: list[str], memory: Optional[int]) -> None:
    """Run the process, until the driver closes the pipe or dies."""
    pipe = Connection(descriptor)
    die_with_parent(driver, signal.SIGTERM)
    try:
        for module in preload:
            importlib.import_module(module)
    except Exception:       # noqa: BLE001 - a module may raise anything; the driver shows it and ends
        pipe.send_bytes(json.dumps(dict(error=traceback.format_exc())).encode())
        return
    gc.collect()
    gc.freeze()     # so that the workers' collector does not touch, and thereby copy, the pages that they share
    pipe.send_bytes(json.dumps(dict(ready=True)).encode())
    _Server(pipe, work_dir, memory).run()
    os._exit(0)     # at once: nothing is left to do, and the interpreter would take a second to tidy up


class _Server:
    """The process's side: forks, kills and reaps."""

    def __init__(self, pipe: Connection, work_dir: str, memory: Optional[int]):
        self.pipe, self.work_dir, self.memory = pipe, work_dir, memory
        self.workers: dict[int, int] = {}       # process id -> number

    def run(self) -> None:
        awake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(signum, lambda *_: None)      # its number arrives in the pipe
        received = b''
        try:
            while signal.SIGTERM not in received:
                ready = wait([self.pipe, awake])
                if awake in ready:
                    received = os.read(awake, 4096)
                    self._reap()
                if self.pipe in ready:
                    self._obey(json.loads(self.pipe.recv_bytes()))
        except (EOFError, ConnectionError):
            return      # the driver has closed the pipe, or is gone
        finally:
            for process in self.workers:
                os.killpg(process, signal.SIGKILL)
            for process in self.workers:
                os.waitpid(process, 0)

    def _obey(self, message: dict) -> None:
        if 'fork' in message:
            self._fork(message['fork'], message['gpu'])
            return
        for process, number in self.workers.items():
            if number == message['kill']:
                os.killpg(process, signal.SIGKILL)

    def _fork(self, number: int, gpu: Optional[str]) -> None:
        channel = Connection(recv_handle(self.pipe))
        server = os.getpid()
        process = os.fork()
        if process == 0:
            self._become_worker(channel, server, gpu)
        os.setpgid(process, process)    # here as well as in the worker: whoever comes first
        channel.close()
        self.workers[process] = number

    def _become_worker(self, channel: Connection, server: int, gpu: Optional[str]) -> None:
        status = 1
        try:
            die_with_parent(server, signal.SIGKILL)
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.pipe.close()
            work(channel, self.work_dir, gpu, self.memory)
            status = 0
        except BaseException as error:      # noqa: BLE001 - it must end here, not go on as a second server
            status = DISK_FULL if is_disk_full(error) else 1
            with suppress(OSError):         # where the disk is full there is no room for a log either
                traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Report the workers that have ended, and end what they left running.

        Their group is killed while the dead worker still holds its number: afterwards it may be somebody else's.
        """
        while self.workers:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            os.killpg(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            report = dict(exit=self.workers.pop(ended.si_pid), status=os.waitstatus_to_exitcode(status))
            self.pipe.send_bytes(json.dumps(report).encode())
