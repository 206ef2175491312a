"""What a trial can do wrong fails that trial: its folder and the report say why, and the search goes on."""

import json

import numpy as np
import pytest

from nasdet.cli import main
from nasdet.history import History
from nasdet.history.workdir import WorkDir
from nasdet.searchers import RandomSearcher
from tests.faults.drive import toy_config
from tests.toys import ToySpace

SEED = 3
# behaviour of a trial: (last line of its error, what stands in its folder)
FAULTS = {
    'fail': ('was told to fail', "raise RuntimeError(f'{key} was told to fail')"),
    'nan': ('FloatingPointError: metric score is nan', "raise FloatingPointError(f'metric {bad[0]}"),
    'hang': ('too slow: it took longer than 6 s', 'too slow'),
    'crash': ('its process was lost 3 times: its process was killed by SIGABRT', 'in misbehave'),
    'kill': ('its process was lost 3 times: its process was killed by SIGKILL', 'lost 3 times'),
    'memory': ('MemoryError', 'np.zeros(2 ** 28, np.uint8)'),
}


def run(tmp_path, behaviours, **changes):
    cfg = toy_config(tmp_path / 'evaluations.log', searcher='RandomSearcher', **changes)
    cfg.search.estimator.behaviours = behaviours
    cfg.dump(str(tmp_path / 'toy.py'))
    return main(['search', str(tmp_path / 'toy.py'), '--work-dir', str(tmp_path / 'work')])


def trials_of(tmp_path):
    history = History(tmp_path / 'work' / 'history.sqlite', read_only=True)
    trials = list(history.trials())
    history.close()
    return trials


def test_a_failed_trial_says_why_and_the_search_goes_on(tmp_path):
    space, number = ToySpace(5), 2 * len(FAULTS) + 1
    searcher = RandomSearcher(space)
    proposals = [searcher.ask(trial, np.random.default_rng((SEED, trial))) for trial in range(number)]
    keys = [space.key(proposal.genotype) for proposal in proposals]
    assert len(set(keys)) == number
    faulty = dict(zip(range(1, number, 2), FAULTS, strict=True))     # every second trial
    engine = dict(type='LocalEngine', slots=2, preload=[], timeout=6, memory=2 ** 30)
    assert run(tmp_path, {keys[trial]: fault for trial, fault in faulty.items()}, engine=engine,
               budget=dict(trials=number)) == 0

    report = (tmp_path / 'work' / 'report.html').read_text()
    for trial in trials_of(tmp_path):
        if trial.trial not in faulty:
            assert trial.status == 'ok'
            continue
        last, trace = FAULTS[faulty[trial.trial]]
        assert trial.status == 'failed' and last in trial.result.error.strip().splitlines()[-1]
        assert trace in trial.result.error
        assert f'trial {trial.trial}: ' in report and last in report
        folder = WorkDir(tmp_path / 'work').trial(trial.trial)
        left = [path.read_text() for path in (*folder.rglob('result.json'), *folder.rglob('log.txt'))]
        assert any(json.dumps(trace)[1:-1] in text or trace in text for text in left)


def test_five_failures_in_a_row_stop_the_search_and_stand_in_the_report(tmp_path, capfd):
    assert run(tmp_path, {'*': 'fail'}, engine=dict(type='InlineEngine')) == 1
    error = capfd.readouterr().err
    assert 'nasdet: 5 trials failed in a row; the last one, trial 4, with:\n' in error
    assert 'was told to fail\nMend it, then run the same command again.' in error
    assert 'trial 4: RuntimeError: ' in (tmp_path / 'work' / 'report.html').read_text()
    assert not (tmp_path / 'work' / 'best').exists()


@pytest.mark.parametrize('behaviour', ['fail', 'nan'])
def test_nothing_that_succeeded_is_a_sentence(tmp_path, capfd, behaviour):
    assert run(tmp_path, {'*': behaviour}, engine=dict(type='InlineEngine'), budget=dict(trials=3)) == 1
    assert 'no trial succeeded (3 evaluations are made); see ' in capfd.readouterr().err
