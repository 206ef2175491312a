import pytest

from nasdet.estimators.tabular import TabularEstimator
from nasdet.protocol import Budget
from tests.toys import ToySpace


class RowSpace(ToySpace):
    def row(self, genotype):
        return '-'.join(layer['op'] for layer in genotype.value['layers'])


TABLE = 'name,accuracy,time\nid-conv3,61.25,10\nconv3-conv3,70.5,20\n'


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text(TABLE)
    return path


def test_looks_a_genotype_up_by_what_the_space_says(table):
    space = RowSpace(num_decisions=2)
    estimator = TabularEstimator(space, table, key='name', metrics=dict(top1='accuracy'), seconds='time')
    evaluation = estimator.evaluate(space.decode((0, 2, 0)), Budget(), seed=0)
    assert evaluation.metrics == dict(top1=61.25) and evaluation.cost == dict(seconds=10.0)
    assert estimator.evaluate(space.decode((2, 1, 2, 0)), Budget(), seed=1).metrics == dict(top1=70.5)
    with pytest.raises(ValueError, match="no row with name = 'pool-conv3'"):
        estimator.evaluate(space.decode((1, 2, 0)), Budget(), seed=0)


def test_needs_a_space_with_rows():
    assert [name for name in TabularEstimator.requires if not ToySpace().can(name)] == ['row']
    assert RowSpace().can('row')


def test_fingerprint_follows_what_the_table_says(table):
    space = RowSpace(num_decisions=2)
    first = TabularEstimator(space, table, key='name', metrics=['accuracy']).fingerprint
    assert first == TabularEstimator(space, table, key='name', metrics=['accuracy']).fingerprint
    assert first != TabularEstimator(space, table, key='name', metrics=['time']).fingerprint
    table.write_text(TABLE.replace('70.5', '70.6'))
    assert first != TabularEstimator(space, table, key='name', metrics=['accuracy']).fingerprint


@pytest.mark.parametrize('text, message', [
    ('name,time\na,1\n', "no column 'accuracy', only name, time"),
    ('name,accuracy\na,1\na,2\n', "two rows with name = 'a'"),
    ('', "no column 'accuracy'"),
])
def test_faulty_tables_are_refused(tmp_path, text, message):
    path = tmp_path / 'table.csv'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        TabularEstimator(RowSpace(), path, key='name', metrics=['accuracy'])
    with pytest.raises(ValueError, match='no table'):
        TabularEstimator(RowSpace(), tmp_path / 'absent.csv', key='name', metrics=['accuracy'])
