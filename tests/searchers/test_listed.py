import numpy as np
import pytest

from nasdet.errors import SearchError
from nasdet.protocol import Result
from nasdet.searchers import ListSearcher
from nasdet.spaces import DARTSSpace
from nasdet.testing import check_searcher
from tests.toys import ToySpace

SPACE = ToySpace(4)


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / 'best.jsonl', [SPACE.sample(np.random.default_rng(seed)) for seed in range(6)])


def write(path, genotypes):
    path.write_text(''.join(f'{genotype.to_json()}\n' for genotype in genotypes))
    return str(path)


def test_it_proposes_each_line_once_in_order(file):
    searcher = ListSearcher(SPACE, file)
    expected = [SPACE.sample(np.random.default_rng(seed)) for seed in range(6)]
    for trial, genotype in enumerate(expected):
        assert not searcher.finished
        proposal = searcher.ask(trial, np.random.default_rng(0))
        assert proposal.genotype == genotype and SPACE.decode(proposal.tokens) == genotype
        searcher.asked(trial, proposal)
        searcher.tell(trial, proposal, Result('ok', 0.5))
    assert searcher.finished and searcher.ask(6, np.random.default_rng(0)) is None
    assert searcher.ending == f'all 6 genotypes of {file} are proposed'


def test_conforms(file):
    check_searcher(lambda space: ListSearcher(space, file), SPACE, trials=10)


def test_a_changed_file_is_refused(file, tmp_path):
    searcher = ListSearcher(SPACE, file)
    other = ListSearcher(SPACE, write(tmp_path / 'other.jsonl', searcher.genotypes[1:]))
    proposal = searcher.ask(0, np.random.default_rng(0))
    with pytest.raises(SearchError, match='other.jsonl has changed: trial 0 is another genotype than its line 1'):
        other.asked(0, proposal)


def test_files_that_hold_no_list_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match='does not exist: write it with nasdet export WORK_DIR --top-k'):
        ListSearcher(SPACE, str(tmp_path / 'none.jsonl'))
    with pytest.raises(ValueError, match='is empty'):
        ListSearcher(SPACE, write(tmp_path / 'empty.jsonl', []))
    with pytest.raises(ValueError, match='best.jsonl, line 1: this genotype is of ToySpace, not of DARTSSpace'):
        ListSearcher(DARTSSpace(), file)
    with open(file, 'a') as lines:
        lines.write('[1, 2]\n')
    with pytest.raises(ValueError, match='best.jsonl, line 7: not a genotype'):
        ListSearcher(SPACE, file)
