"""The report of a search within one training: its steps, what it had to come down to, and its single candidate."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from nasdet.costs.base import Cost
from nasdet.history import STEP, History, Trial
from nasdet.protocol import CostGoal, Proposal, Result
from nasdet.report import draw, read_report, write_report
from nasdet.report.training import compare_alone, goals_section
from nasdet.trainers.base import Trainer
from tests.report.test_report import Page, add, begin, chain
from tests.toys import ToySpace

CONFIG = """
custom_imports = dict(imports=['tests.toys'], allow_failed_imports=False)
search = dict(space=dict(type='ToySpace'), objective='score', seed=0,
              trainer=dict(type='tests.report.test_training.ShrinkingTrainer', wanted=40.0),
              costs=[dict(type='tests.report.test_training.Channels')])
"""
MISSED = 'the goal was missed: 48 channels are left, not 40'


class Channels(Cost):
    """The channels of all convolutions of a toy."""

    unit = 'channels'

    def __call__(self, genotype):
        return float(sum(layer['width'] for layer in genotype.value['layers']))


class ShrinkingTrainer(Trainer):
    """Limits the channels of a toy."""

    steps, images, fingerprint = 3, 1, ''

    def __init__(self, space, config, work_dir, wanted):
        super().__init__(space, config, work_dir)
        self.wanted = wanted

    def run(self, record):
        raise AssertionError('a report trains nothing')

    def cost_goals(self, genotypes):
        costs = [Channels(self.space, None)(genotype) for genotype in genotypes]
        return [CostGoal('shrink', 'width', 'channels', 64.0, self.wanted, costs, costs[-1] if costs else None,
                         MISSED if costs and costs[-1] > self.wanted else '')]


def begin_training(folder, *steps) -> History:
    """Begin a search within a training, and record the steps, each (genotype, reward)."""
    history, space = begin(folder), ToySpace()
    (folder / 'config.py').write_text(CONFIG)
    for number, (genotype, reward) in enumerate(steps):
        costs = {'Channels(model)': Channels(space, None)(genotype)}
        proposal = Proposal(genotype, space.encode(genotype))
        history.asked(Trial(number, space.key(genotype), proposal, 0, STEP))
        history.told(number, Result('ok', reward, {}, costs))
    return history


def offer(history: History, number: int, genotype, reward: float) -> None:
    """Add a candidate with its cost."""
    add(history, number, genotype, reward, told=False)
    history.end_attempt(number, 1, 2.5, 'ok', '')
    history.told(number, Result('ok', reward, {}, {'Channels(model)': Channels(ToySpace(), None)(genotype)}))


STEPS = (chain(8, 16, 16, 16), 0.25), (chain(8, 8, 16, 16), 0.125)


def test_a_goal_that_was_missed_is_told_with_what_was_reached(tmp_path):
    history = begin_training(tmp_path, *STEPS)
    offer(history, 2, chain(8, 8, 8, 16), 0.5)
    history.close()
    page = Page(write_report(tmp_path).read_text())
    assert 'What the training limits: width' in page.text and f'{MISSED}.' in page.text
    assert '64 channels40 channels (62.5 %)48 channels (75.0 %)' in page.text
    assert not page.stack
    picture = (tmp_path / 'pictures' / 'goals.svg').read_bytes()
    ElementTree.fromstring(picture)
    assert b'goal' in re.sub(rb'<!--|-->', b'', picture)


def test_a_training_that_limits_nothing_has_no_goals(tmp_path):
    assert goals_section([], {}) == ''


def test_before_the_first_step_a_goal_is_not_reached_yet(tmp_path):
    begin_training(tmp_path).close()
    report = read_report(tmp_path)
    assert draw(report) == {}
    page = write_report(tmp_path).read_text()
    assert 'nothing yet' in page and MISSED not in page


@pytest.mark.parametrize('candidates, pictures', [
    (1, {'steps', 'goals', 'architecture'}),
    (2, {'steps', 'goals', 'architecture', 'best_so_far', 'reward_cost'})])
def test_a_single_candidate_is_drawn_against_nothing(tmp_path, candidates, pictures):
    history = begin_training(tmp_path, *STEPS)
    for number in range(candidates):
        offer(history, 2 + number, chain(8, 8, 8, 8 << number), 0.5)
    history.close()
    assert set(draw(read_report(tmp_path))) == pictures


def test_a_single_step_is_not_drawn_but_how_far_it_came_is(tmp_path):
    begin_training(tmp_path, STEPS[0]).close()
    (tmp_path / 'pictures').mkdir()
    (tmp_path / 'pictures' / 'steps.svg').touch()       # of an earlier report
    write_report(tmp_path)
    assert [path.name for path in (tmp_path / 'pictures').iterdir()] == ['goals.svg']


@pytest.mark.parametrize('rewards, words, heading', [
    ((0.25,), 'the control 0.2500, a difference of +0.1250', 'Beside the control'),
    ((0.25, 0.5), 'the best of 2 of the control 0.5000, a difference of -0.1250', 'Reward over evaluations')])
def test_what_was_found_is_compared_in_words_and_drawn_where_there_are_several(tmp_path, rewards, words, heading):
    history = begin_training(tmp_path, *STEPS)
    offer(history, 2, chain(8, 8, 8, 16), 0.5)
    history.close()
    for name, trained in (('alone', (0.375,)), ('control', rewards)):
        history = begin(tmp_path / name)
        for number, reward in enumerate(trained):
            add(history, number, chain(8, 8, 8, 8 << number), reward)
        history.close()
    report = read_report(tmp_path)
    assert words in compare_alone(report.alone, report.control)
    page = Page(write_report(tmp_path).read_text())
    assert words in page.text and heading in page.text
    assert ('best_so_far' in draw(report)) == (len(rewards) > 1)
