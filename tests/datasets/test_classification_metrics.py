import pytest
import torch

from nasdet.datasets.classification_metrics import Accuracy

SCORES = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]])


def measure(labels, **kwargs):
    metric = Accuracy(**kwargs)
    for rows in ([0, 1, 2], [3]):
        batch = dict(data_samples=torch.tensor([labels[row] for row in rows]))
        metric.process(batch, [dict(score=SCORES[row]) for row in rows])
    return metric.evaluate(len(labels))


def test_it_counts_by_hand():
    # ranks of the true class: 1, 2, 3, 2
    assert measure([0, 1, 0, 1], topk=(1, 2, 3)) == {'accuracy/top1': 0.25, 'accuracy/top2': 0.75,
                                                     'accuracy/top3': 1.0}


def test_equal_scores_do_not_all_count():
    metric = Accuracy(topk=(1,))
    metric.process(dict(data_samples=torch.tensor([0, 1, 2])), [dict(score=torch.full((3,), 1 / 3))] * 3)
    assert metric.evaluate(3)['accuracy/top1'] == pytest.approx(1 / 3)


def test_more_than_there_are_classes_is_refused():
    with pytest.raises(ValueError, match='top-5 accuracy of 3 classes'):
        measure([0, 1, 0, 1])
