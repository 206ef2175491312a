"""Figures of several seeds: intervals, paired differences, and a sentence that claims no more than they do."""

import math

import pytest
from scipy import stats

from nasdet.confirm.comparison import compare, interval, sentence, table

FIGURES = dict(detector={0: 0.30, 1: 0.32, 2: 0.31}, found={0: 0.34, 1: 0.33, 2: 0.36})


def test_interval_is_students():
    three = interval([1.0, 2.0, 3.0])
    assert three.mean == 2.0 and three.half == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert interval([0.5]).half is None and str(interval([0.5])) == 'unknown'


def test_comparison_is_paired_by_seed_and_agrees_with_scipy():
    ours, theirs = {**FIGURES['found'], 7: 0.9}, FIGURES['detector']    # seed 7 has no pair
    baseline, found = compare(dict(detector=theirs, found=ours), 'detector')
    expected = stats.ttest_rel([ours[seed] for seed in (0, 1, 2)], [theirs[seed] for seed in (0, 1, 2)])
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.difference.mean - found.difference.half == pytest.approx(low)
    assert found.difference.mean + found.difference.half == pytest.approx(high)
    assert (found.figure.count, found.difference.count) == (4, 3)
    assert baseline.difference is None and baseline.p is None


@pytest.mark.parametrize('ours, words', [
    ([0.34, 0.33, 0.36], 'no evidence of a difference'),
    ([0.401, 0.419, 0.411], 'evidence that it is better'),
    ([0.201, 0.219, 0.211], 'evidence that it is worse'),
    ([0.34], 'one seed allows no test'),
    ([0.30, 0.32, 0.31], 'the differences do not vary'),
])
def test_the_sentence_claims_no_more_than_the_test(ours, words):
    figures = dict(detector=FIGURES['detector'], found=dict(enumerate(ours)))
    said = sentence(compare(figures, 'detector')[1], 'detector', 'coco/bbox_mAP')
    assert words in said
    assert ('no evidence' in said) == (': evidence' not in said)


def test_the_table_has_a_row_for_each_architecture():
    lines = table(compare(FIGURES, 'detector')).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert '| detector     | 3     | 0.3100 |' in lines[2] and '+0.0333' in lines[3]
