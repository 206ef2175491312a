"""What a trainer must hold to."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

import torch

from nasdet.genotype import Genotype
from nasdet.models.meta import build_in_memory
from nasdet.protocol import Evaluation
from nasdet.testing.evaluations import check_claims, check_evaluation
from nasdet.trainers.base import Trainer


def check_trainer(make_trainer: Callable[[Path], Trainer]) -> None:
    """Check a trainer: its steps, its candidates and their weights, and that a kill at any step leaves no trace.

    It is trained twice: at one go, and killed in each of its steps. So its search is a small one, of about four steps.

    Args:
        make_trainer: Returns a new trainer of always the same search, whose work dir is the folder that it is given.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer, whole = make_trainer(Path(folder) / 'whole'), _Steps()
        trainer.check()
        check_claims(trainer)
        fingerprint = trainer.fingerprint
        trainer.run(whole)
        _check_steps(trainer, whole)
        assert trainer.fingerprint == fingerprint, 'fingerprint changes with the training'
        _check_weights(trainer, whole, Path(folder) / 'weights.pth')
        make_trainer(Path(folder) / 'whole').run(_Steps(taken=whole.taken))      # one that has ended may be asked again
        _check_kills(make_trainer, Path(folder) / 'killed', whole)


class _Killed(BaseException):
    """Stands for the end of the process; no trainer catches it as an error of its own."""


class _Steps:
    """Takes what is recorded, and ends like a killed process between the record of a step and its checkpoint.

    Args:
        kill_at: That step; None: never.
        taken: Steps recorded before, by number, which a training that goes on repeats; more are added.
    """

    def __init__(self, kill_at: Optional[int] = None, taken: Optional[dict] = None):
        self.kill_at = kill_at
        self.taken = {} if taken is None else taken
        self.numbers: list[int] = []        # of this run, in order
        self.evaluations: list[Evaluation] = []

    def __call__(self, number: int, genotype: Genotype, evaluation: Evaluation, candidate: bool = False) -> None:
        self.numbers.append(number)
        self.evaluations.append(evaluation)
        step = genotype, evaluation.metrics, evaluation.fidelity, candidate
        assert self.taken.setdefault(number, step) == step, f'step {number} gives something else when it is repeated'
        if number == self.kill_at:
            raise _Killed


def _check_steps(trainer: Trainer, steps: _Steps) -> None:
    numbers = list(range(trainer.steps))
    assert steps.numbers == numbers, f'recorded are the steps {steps.numbers}, and by the trainer\'s steps {numbers}'
    assert trainer.images > 0, f'images is {trainer.images}: its control could train nothing'
    for evaluation in steps.evaluations:
        check_evaluation(evaluation, trainer.metric_names)
        own = trainer.rewarded_by
        assert own is None or own in evaluation.metrics, f'rewarded_by is {own}, which an evaluation has not'
    for genotype, *_ in steps.taken.values():
        trainer.space.check(genotype)
        trainer.space.encode(genotype)
    assert any(candidate for *_, candidate in steps.taken.values()), 'no step is a candidate, so nothing is found'


def _check_weights(trainer: Trainer, steps: _Steps, path: Path) -> None:
    """Check that the weights of a candidate, where it has some, load strictly into its network."""
    found = next(genotype for genotype, *_, candidate in steps.taken.values() if candidate)
    if not trainer.weights(found, path):
        assert not path.exists(), 'weights() writes a file, and says that there are no weights'
        return
    state = torch.load(path, map_location='cpu', weights_only=True)['state_dict']
    try:
        build_in_memory(trainer.space.apply(found, trainer.config.model)).load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise AssertionError(f"weights() writes what does not load into the candidate's network: {error}") from error


def _check_kills(make_trainer: Callable[[Path], Trainer], folder: Path, whole: _Steps) -> None:
    """Kill a training in each of its steps, one after another, and go on each time from what it left."""
    taken: dict = {}
    killed = None
    for kill_at in (*whole.numbers, None):
        steps = _Steps(kill_at, taken)
        with suppress(_Killed):
            make_trainer(folder).run(steps)
        assert killed is None or killed in steps.numbers, (
            f'step {killed} is not repeated after a kill between its record and its checkpoint, so one before its '
            f'record would lose it: record a step before its checkpoint is written')
        killed = kill_at
    assert steps.numbers[0] > 0 or len(whole.numbers) < 3, 'a killed training begins again at its first step'
    assert taken == whole.taken, 'a training that was killed records other steps than one that was not'
