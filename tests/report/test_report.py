"""The report of a history: its counts, its ranking, its page, at any moment of a search."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.history import EVALUATED, REFUSED, History, Trial
from nasdet.history.record import read_record
from nasdet.protocol import Proposal, Result
from nasdet.report import draw, read_report, write_report
from nasdet.report.drawing import best_so_far, draw_graph, place
from nasdet.report.page import compare
from nasdet.report.parts import duration, quantity
from nasdet.spaces.base import Graph
from tests.toys import ToySpace

CONFIG = """
custom_imports = dict(imports=['tests.toys'], allow_failed_imports=False)
search = dict(space=dict(type='{space}'), searcher=dict(type='RandomSearcher'),
              estimator=dict(type='ToyEstimator'), objective='score', budget=dict(trials=9), seed=0)
"""
ERROR = 'Traceback (most recent call last):\n  File "net.py", line 3, in forward\nRuntimeError: <b>too</b> large'


def chain(*widths: int) -> Genotype:
    return Genotype('ToySpace', dict(layers=[dict(op='conv3', width=width) for width in widths]))


def add(history: History, number: int, genotype: Genotype, reward=None, source=EVALUATED, error='', told=True, **meta):
    """Add a trial as the loop would: asked, attempted where evaluated, told."""
    space = ToySpace()
    status = 'ok' if reward is not None else 'refused' if source == REFUSED else 'failed'
    decided = Result('refused', error=error) if source == REFUSED else Result('running')
    proposal = Proposal(genotype, space.encode(genotype), meta=meta)
    history.asked(Trial(number, space.key(genotype), proposal, number, source, decided.status, decided))
    if source == EVALUATED:
        history.begin_attempt(number, 1)
    if told:
        if source == EVALUATED:
            history.end_attempt(number, 1, 2.5, status, error)
        history.told(number, Result(status, reward, {}, {}, error))


def begin(folder) -> History:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.py').write_text(CONFIG.format(space='ToySpace'))
    return History(folder / 'history.sqlite')


@pytest.fixture
def searched(tmp_path):
    """A search with a failure, a refusal, a reuse, a lost and a cut-off attempt, still running."""
    history = begin(tmp_path)
    history.begin_attempt(0, 1)
    add(history, 0, chain(8, 8, 8, 8), 0.25)
    add(history, 1, chain(8, 8, 8, 16), error=ERROR)
    add(history, 2, chain(8, 8, 8, 32), 0.5)
    add(history, 3, chain(8, 8, 8, 32), 0.5, source='reused:2')
    add(history, 4, chain(32, 32, 32, 32), source=REFUSED, error='Width is 128, over its limit 100')
    add(history, 5, chain(8, 8, 16, 8), 0.5)
    history.end_attempt(5, 1, 1.0, 'lost', 'SIGKILL')
    history.begin_attempt(5, 2)         # was under way when the search was killed
    history.begin_attempt(5, 3)
    history.end_attempt(5, 3, 4.0, 'ok', '')
    add(history, 6, chain(16, 8, 8, 8), told=False)
    history.close()
    return tmp_path


class Page(HTMLParser):
    """Counts tags, keeps the text, and notices a tag that is never closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text, self.stack, self.sources = [], '', [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href')]
        if tag not in ('meta', 'img'):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_every_trial_is_counted_once(searched):
    record = read_record(searched / 'history.sqlite')
    assert [len(part) for part in (record.evaluated, record.failed, record.reused, record.refused, record.open)] == \
        [4, 1, 1, 1, 1]
    assert (record.lost, record.interrupted) == (1, 1)
    assert record.rewards == [0.25, None, 0.5, 0.5]
    assert record.seconds[5] == 5.0


def test_ranking_is_by_reward_then_by_time_and_holds_an_architecture_once(searched):
    assert [trial.trial for trial in read_record(searched / 'history.sqlite').ranking] == [2, 5, 0]


def test_best_so_far_never_falls_and_begins_with_the_first_success():
    assert best_so_far([None, 0.2, 0.1, None, 0.3]) == [(2, 0.2), (3, 0.2), (4, 0.2), (5, 0.3)]
    assert best_so_far([None]) == []


def test_the_page_stands_alone_and_shows_what_happened(searched):
    path = write_report(searched)
    page = Page(path.read_text())
    assert not page.stack
    assert page.tags.count('img') == 2 and all(source.startswith('data:image/svg+xml') for source in page.sources)
    assert 'ToySpace, searched by RandomSearcher' in page.text
    assert '0.5000 score' in page.text and 'trial 2, key' in page.text
    assert 'RuntimeError: <b>too</b> large' in page.text and '<b>too</b>' not in path.read_text()
    assert 'evaluated, then 1 x reused' in page.text
    for picture in (searched / 'pictures').iterdir():
        ElementTree.fromstring(picture.read_bytes())
    assert not list(searched.rglob('.*'))


def test_a_search_without_a_trial_has_a_report(tmp_path):
    begin(tmp_path).close()
    page = Page(write_report(tmp_path).read_text())
    assert 'No evaluation has succeeded yet' in page.text and 'img' not in page.tags


def test_a_search_of_failures_only_has_a_report(tmp_path):
    history = begin(tmp_path)
    add(history, 0, chain(8, 8, 8, 8), error='')
    history.close()
    page = Page(write_report(tmp_path).read_text())
    assert '1 of 1 evaluations failed' in page.text and 'no message' in page.text


def test_a_report_is_written_while_the_search_holds_its_history(searched):
    writer = History(searched / 'history.sqlite')
    with writer._transaction():
        writer._db.execute('DELETE FROM trials')
        assert len(read_record(searched / 'history.sqlite').trials) == 7
        writer._db.execute('ROLLBACK')
    writer.close()


def test_several_objectives_are_ranked_and_drawn_by_the_first(tmp_path):
    history = begin(tmp_path)
    (tmp_path / 'config.py').write_text(CONFIG.format(space='ToySpace').replace(
        "objective='score'", "objective=dict(score='max', size='min')"))
    add(history, 0, chain(8, 8, 8, 8), (0.25, -3.0))
    add(history, 1, chain(8, 8, 8, 16), (0.75, -5.0))
    history.close()
    assert read_record(tmp_path / 'history.sqlite').rewards == [0.25, 0.75]
    assert '0.7500, -5.0000' in Page(write_report(tmp_path).read_text()).text


def test_a_space_without_graph_gets_a_page_without_drawing(searched, tmp_path):
    (searched / 'config.py').write_text(CONFIG.format(space='tests.report.test_report.Undrawn'))
    assert set(draw(read_report(searched))) == {'best_so_far'}


class Undrawn(ToySpace):
    graph = None


def test_the_control_is_compared_after_equally_many_evaluations(searched):
    history = begin(searched / 'control')
    for number, reward in enumerate((0.125, 0.375)):
        add(history, number, chain(8, 8, 8, (8, 16)[number]), reward)
    history.close()
    report = read_report(searched)
    sentence = compare(report.record, report.control)
    assert sentence.startswith('After 2 evaluations each, the best reward is 0.2500 in the search and 0.3750')
    assert '-0.1250' in sentence and 'no evidence' in sentence
    assert b'random control' in re.sub(rb'<!--|-->', b'', draw(report)['best_so_far'])


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(SearchError, match='no history.sqlite'):
        write_report(tmp_path)
    (tmp_path / 'history.sqlite').touch()
    with pytest.raises(SearchError, match='was stopped before it began'):
        write_report(tmp_path)
    (tmp_path / 'config.py').write_text(CONFIG.format(space='ToySpace'))
    with pytest.raises(SearchError, match='cannot be read as a history'):
        write_report(tmp_path)


def test_nodes_stand_right_of_what_they_read_or_where_the_space_says():
    nodes = [dict(id=name, label=name) for name in 'abcd']
    edges = [('a', 'b', ''), ('b', 'c', 'skip'), ('a', 'c', ''), ('d', 'c', '')]
    places = place(Graph(nodes, edges))
    assert all(places[source][0] < places[target][0] for source, target, _ in edges)
    assert len(set(places.values())) == 4
    hinted = [dict(node, column=index, row=3) for index, node in enumerate(nodes)]
    assert place(Graph(hinted, edges))['d'] == (3, 3)
    ElementTree.fromstring(draw_graph(Graph(hinted, [*edges, ('c', 'c', 'loop')])))


def test_quantities_carry_prefix_and_unit():
    assert [quantity(12.3e9, 'MACs'), quantity(999, ''), quantity(1500, 'ms')] == ['12.3 G MACs', '999', '1.5 k ms']
    assert quantity(3.833e-5, 's') == '38.3 µs'


def test_durations_are_said_as_a_person_would():
    assert [duration(12.34), duration(210), duration(7560)] == ['12.3 s', '3.5 min', '2.1 h']
    assert [duration(0), duration(0.25), duration(1e-3)] == ['0 s', '250 ms', '1 ms']


def test_a_confirmation_is_shown_as_a_table(searched):
    (searched / 'confirm').mkdir()
    text = '# Confirmation\n\n| a | b |\n| - | - |\n| <x> | 1 |\n\nNo evidence.\n'
    (searched / 'confirm' / 'README.md').write_text(text)
    page = Page(write_report(searched).read_text())
    assert 'Confirmation on the test split' in page.text and 'No evidence.' in page.text
    assert '<td>&lt;x&gt;</td><td>1</td>' in (searched / 'report.html').read_text()
    assert '# Confirmation' not in page.text and not page.stack


def test_the_page_says_how_well_a_searcher_predicted(tmp_path):
    history = begin(tmp_path)
    add(history, 0, chain(8, 8, 8, 8), 0.25, level=1)       # of the first level nothing is predicted
    for number, (predicted, reward) in enumerate([(0.5, 0.2), (0.6, 0.3), (0.4, 0.25)], start=1):
        add(history, number, chain(8, 8, 16, 8 * 2 ** (number - 1)), reward, level=2, predicted=predicted)
    add(history, 4, chain(8, 32, 8, 8), error=ERROR, level=2, predicted=0.9)
    add(history, 5, chain(32, 32, 8, 8), 0.5, level=3, predicted=0.9)
    history.close()
    assert read_record(tmp_path / 'history.sqlite').predictions == {2: [(0.5, 0.2), (0.6, 0.3), (0.4, 0.25)],
                                                                    3: [(0.9, 0.5)]}
    page = write_report(tmp_path).read_text()
    assert '<tr><td>2</td><td>3</td><td>0.50</td></tr><tr><td>3</td><td>1</td><td>undefined</td></tr>' in page


def test_without_predictions_the_page_has_none(searched):
    assert 'Predictions' not in write_report(searched).read_text()


@pytest.mark.parametrize('rewards, words', [
    ([0.25], 'It is the only architecture evaluated;'),
    ([0.25, 0.5], 'It is the best of 2 architectures looked at on the same data'),
])
def test_page_warns_of_a_best_of_several(tmp_path, rewards, words):
    history = begin(tmp_path)
    for number, reward in enumerate(rewards):
        add(history, number, chain(8, 8, 8, 8 << number), reward)
    history.close()
    assert words in write_report(tmp_path).read_text()
