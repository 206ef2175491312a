"""LocalEngine: how soon a training trial starts, beside a cold process, and what a second slot brings.

    python -m benchmarks.engine [--trials 5] [--jobs 12] [--seconds 2] [--repeats 3]

A start is the time from submit (cold: from the start of the process) to the first training iteration, its images
loaded. Scaling is the throughput of 2 slots over twice that of 1. Two figures tell the engine's part of a loss from the
machine's (shared cores, other work): the scaling of bare processes, and the share of the slots' time inside evaluate.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from nasdet.config import load_config
from nasdet.datasets import prepare
from nasdet.engines import LocalEngine
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation, Job
from nasdet.registry import ESTIMATORS, SPACES, build
from nasdet.spaces.base import Space
from tests.toys import ToyEstimator, ToySpace

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / 'configs/nas_fpn/retinanet_r18_digits_supernet_ppo.py'
COLD = """
import sys
from pathlib import Path
from nasdet.engines.base import run_job
from nasdet.engines.worker import build_estimator
from nasdet.protocol import Job
run_job(build_estimator(sys.argv[1]), Job.from_json(Path(sys.argv[2]).read_text()))
"""
BARE = 'import sys; from benchmarks.engine import compute; compute(float(sys.argv[1]))'


@HOOKS.register_module()
class FirstIterationHook(Hook):
    """Writes the time of the first training iteration to a file in the trial's folder."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Write once."""
        if runner.iter == 0:
            (Path(runner.work_dir) / 'first_iteration').write_text(repr(time.time()))


@ESTIMATORS.register_module()
class ComputeEstimator(ToyEstimator):
    """Multiplies matrices on one thread: ``seconds`` is how long that takes on an idle core of one machine."""

    def evaluate(self, genotype, budget, seed, folder=None):
        """Return how long it took here."""
        started = time.perf_counter()
        compute(self.seconds)
        return Evaluation(dict(seconds=time.perf_counter() - started))


def compute(amount: float) -> None:
    """Do a fixed amount of work that stays in a core's own cache: about ``amount`` seconds."""
    torch.set_num_threads(1)
    matrix = torch.eye(128)
    for _ in range(int(amount * 30000)):
        matrix = matrix @ matrix


def training_search(folder: Path) -> Space:
    """Prepare a work dir whose trials train a RetinaNet for one epoch, and return its space."""
    cfg = load_config(str(CONFIG))
    cfg.search.data.update(train=16, val=4, test=4)
    cfg.search.estimator = dict(type='TrainingEstimator', epochs=1)
    cfg.custom_hooks = [dict(type='FirstIterationHook')]
    cfg = prepare(cfg, folder)
    cfg.custom_imports.imports.append('benchmarks.engine')
    cfg.dump(folder / 'config.py')
    return build(SPACES, cfg.search.space)


def make_job(folder: Path, space: Space, trial: int, genotype: Genotype) -> Job:
    return Job(trial, 1, space.key(genotype), genotype, Budget(), 0, str(folder / 'trials' / f'{trial:06d}'))


def start_seconds(job: Job, begun: float) -> float:
    return float((Path(job.folder) / 'first_iteration').read_text()) - begun


def measure_starts(folder: Path, trials: int) -> None:
    space = training_search(folder)
    jobs = [make_job(folder, space, i, space.sample(np.random.default_rng(i))) for i in range(2 * trials)]
    warm, cold = [], []
    engine = LocalEngine(folder)
    begun = time.time()
    engine.start()
    print(f'start of the engine, once a search   {time.time() - begun:7.2f} s')
    for job in jobs[:trials]:
        begun = time.time()
        engine.submit(job)
        outcome, = engine.poll()
        if outcome.status != 'ok':
            raise RuntimeError(outcome.error)
        warm.append(start_seconds(job, begun))
    engine.close()
    for job in jobs[trials:]:
        (folder / 'job.json').write_text(job.to_json())
        begun = time.time()
        subprocess.run([sys.executable, '-W', 'ignore', '-c', COLD, folder, folder / 'job.json'], check=True, cwd=ROOT,
                       capture_output=True)
        cold.append(start_seconds(job, begun))
    print(f'start of a trial, LocalEngine        {describe(warm)}')
    print(f'start of a trial, cold process       {describe(cold)}')
    print(f'ratio of the medians                 {statistics.median(cold) / statistics.median(warm):7.1f}')


def describe(figures: list[float], unit: str = ' s') -> str:
    return (f'{statistics.median(figures):7.3f}{unit}   (median of {len(figures)}; {min(figures):.3f} to '
            f'{max(figures):.3f}{unit})')


def measure_scaling(folder: Path, jobs: int, seconds: float, repeats: int) -> None:
    (folder / 'config.py').write_text(
        "custom_imports = dict(imports=['benchmarks.engine'], allow_failed_imports=False)\n"
        f"search = dict(space=dict(type='ToySpace'), estimator=dict(type='ComputeEstimator', seconds={seconds}))\n")
    scaling, bare, inside = [], [], []
    for _ in range(repeats):    # both ways in turn, so that a change of the machine's pace meets both
        (one, _), (two, evaluating) = (run_jobs(folder, slots, jobs) for slots in (1, 2))
        alone, beside = (bare_wall(processes, seconds) for processes in (1, 2))
        scaling.append(one / (2 * two))
        bare.append(alone / beside)
        inside.append(evaluating / (2 * two))
    print(f'{jobs} compute jobs of about {seconds:g} s, {repeats} times', flush=True)
    print(f'scaling to 2 slots, LocalEngine      {describe(scaling, "")}')
    print(f'scaling, two bare processes          {describe(bare, "")}')
    print(f'of 2 slots\' time inside evaluate     {describe(inside, "")}')


def run_jobs(folder: Path, slots: int, jobs: int) -> tuple[float, float]:
    """Return the wall time of all jobs, every slot taken as long as there are jobs, and the sum of the evaluations."""
    space = ToySpace()
    genotype = space.sample(np.random.default_rng(0))
    engine = LocalEngine(folder, slots=slots)
    engine.start()
    waiting = [make_job(folder, space, i, genotype) for i in range(jobs)]
    begun = time.perf_counter()
    running, evaluating = 0, 0.0
    while waiting or running:
        while waiting and running < slots:
            engine.submit(waiting.pop())
            running += 1
        for outcome in engine.poll():
            running -= 1
            evaluating += outcome.evaluation.metrics['seconds']
    wall = time.perf_counter() - begun
    engine.close()
    return wall, evaluating


def bare_wall(processes: int, seconds: float) -> float:
    """Return how long the work takes in processes that know nothing of an engine, the imports not counted."""
    def run(amount: float) -> float:
        begun = time.perf_counter()
        started = [subprocess.Popen([sys.executable, '-c', BARE, str(amount)], cwd=ROOT) for _ in range(processes)]
        for process in started:
            process.wait()
        return time.perf_counter() - begun
    return run(4 * seconds) - run(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--trials', type=int, default=5, help='trainings started each way')
    parser.add_argument('--jobs', type=int, default=12, help='compute jobs')
    parser.add_argument('--seconds', type=float, default=2.0, help='of each, about')
    parser.add_argument('--repeats', type=int, default=3, help='measurements of the scaling')
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='nasdet-engine-'))
    try:
        for name in ('training', 'compute'):
            (folder / name).mkdir()
        measure_starts(folder / 'training', arguments.trials)
        measure_scaling(folder / 'compute', arguments.jobs, arguments.seconds,
                        arguments.repeats)
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
