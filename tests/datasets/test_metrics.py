import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from pycocotools import mask as masks

from nasdet.datasets import RawCocoMetric

CLASSES = ('a', 'b', 'c', 'd')
STATISTICS = ['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l', 'AR@100', 'AR@300', 'AR@1000', 'AR_s@1000',
              'AR_m@1000', 'AR_l@1000']


def truth(path, rng, images=12):
    """Boxes of all three areas, some of them crowds; no box of the last class, category ids with gaps."""
    coco = dict(images=[dict(id=5 + 2 * index, file_name=f'{index}.png', width=400, height=400)
                        for index in range(images)],
                categories=[dict(id=3 * index + 2, name=name) for index, name in enumerate(CLASSES)], annotations=[])
    for image in coco['images']:
        for _ in range(rng.integers(1, 7)):
            x, y, w, h = rng.uniform(5, 190, size=4).round(2).tolist()
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            coco['annotations'].append(dict(
                id=len(coco['annotations']) + 1, image_id=image['id'], category_id=int(rng.choice([2, 5, 8])),
                bbox=[x, y, w, h], area=w * h, iscrowd=int(rng.random() < 0.15), segmentation=[polygon]))
    path.write_text(json.dumps(coco))
    return coco


def predictions(coco, rng, noise=6.0, extra=30):
    """Shaken copies of the boxes, some of another class, and boxes at random; scores with ties."""
    labels = {category['id']: index for index, category in enumerate(coco['categories'])}
    samples = []
    for image in coco['images']:
        own = [box for box in coco['annotations'] if box['image_id'] == image['id']]
        boxes = [np.array([x, y, x + w, y + h]) + rng.normal(0, noise, 4) for x, y, w, h in (b['bbox'] for b in own)]
        boxes += [np.concatenate([corner, corner + rng.uniform(5, 150, 2)])
                  for corner in rng.uniform(0, 250, (extra, 2))]
        kinds = [labels[box['category_id']] for box in own] + rng.integers(4, size=extra).tolist()
        scores = np.concatenate([rng.uniform(0.3, 1, len(own)), rng.uniform(0, 0.6, extra)]).round(2)
        samples.append(dict(
            img_id=image['id'], ori_shape=(400, 400),
            pred_instances=dict(bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
                                labels=torch.tensor(kinds), scores=torch.tensor(scores, dtype=torch.float32),
                                masks=[masks.encode(box_mask(box)) for box in boxes])))
    return samples


def box_mask(box):
    left, top, right, bottom = np.clip(box, 0, 400).astype(int)
    mask = np.zeros((400, 400), dtype=np.uint8, order='F')
    mask[top:bottom, left:right] = 1
    return mask


def score(metric, samples, classes=CLASSES):
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    return metric.evaluate(size=len(samples))


@pytest.fixture(params=range(3))
def case(request, tmp_path):
    rng = np.random.default_rng(request.param)
    coco = truth(tmp_path / 'truth.json', rng)
    return str(tmp_path / 'truth.json'), predictions(coco, rng)


@pytest.mark.parametrize('arguments', [dict(), dict(proposal_nums=(5, 20, 100)), dict(iou_thrs=np.array([0.5, 0.75]))])
def test_figures_are_those_of_mmdet_before_rounding(case, arguments):
    ann_file, samples = case
    arguments = dict(ann_file=ann_file, metric=['bbox', 'segm'], metric_items=STATISTICS, **arguments)
    raw, stock = score(RawCocoMetric(**arguments), samples), score(CocoMetric(**arguments), samples)
    assert set(raw) == set(stock) and len(raw) == 24
    assert {name: round(figure, 3) for name, figure in raw.items()} == pytest.approx(stock, abs=1e-12)
    assert any(raw[name] != stock[name] for name in raw)


def test_both_evaluators_agree(case):
    pytest.importorskip('faster_coco_eval')
    ann_file, samples = case
    arguments = dict(ann_file=ann_file, metric=['bbox', 'segm'], metric_items=STATISTICS, classwise=True)
    fast, reference = (score(RawCocoMetric(evaluator=name, **arguments), samples)
                       for name in ('faster_coco_eval', 'pycocotools'))
    assert list(fast) == list(reference)
    assert fast == pytest.approx(reference, abs=1e-12, rel=0)
    assert 0.01 < fast['coco/bbox_mAP'] < 0.99


def test_a_metric_can_be_used_again(case):
    ann_file, samples = case
    metric = RawCocoMetric(ann_file=ann_file, metric=['segm', 'bbox'])
    assert score(metric, samples) == score(metric, samples)


@pytest.mark.parametrize('classwise', [False, True])
def test_no_detections_mean_zero(case, classwise):
    ann_file, samples = case
    full = score(RawCocoMetric(ann_file=ann_file, classwise=classwise), samples)
    for sample in samples:
        sample['pred_instances'] = {key: value[:0] for key, value in sample['pred_instances'].items()}
    empty = score(RawCocoMetric(ann_file=ann_file, classwise=classwise), samples)
    assert list(empty) == list(full) and set(empty.values()) == {0.0}


def test_only_the_images_given_are_scored(case, tmp_path):
    ann_file, samples = case
    coco = json.loads(open(ann_file).read())
    few = {sample['img_id'] for sample in samples[:5]}
    part = dict(coco, images=[image for image in coco['images'] if image['id'] in few],
                annotations=[box for box in coco['annotations'] if box['image_id'] in few])
    (tmp_path / 'part.json').write_text(json.dumps(part))
    assert score(RawCocoMetric(ann_file=ann_file), samples[:5]) == score(
        RawCocoMetric(ann_file=str(tmp_path / 'part.json')), samples[:5])


def test_ground_truth_as_prediction_is_perfect(case):
    ann_file, _ = case
    coco = json.loads(open(ann_file).read())
    samples = predictions(coco, np.random.default_rng(0), noise=0, extra=0)
    figures = score(RawCocoMetric(ann_file=ann_file, classwise=True), samples)
    assert figures['coco/bbox_mAP'] == figures['coco/a_precision'] == 1
    assert figures['coco/d_precision'] == -1        # no ground truth


def test_classes_may_be_some_of_the_categories(case):
    ann_file, samples = case
    for sample in samples:
        kept = sample['pred_instances']['labels'] < 2
        sample['pred_instances'] = {
            key: sample['pred_instances'][key][kept] for key in ('bboxes', 'labels', 'scores')}
    raw = score(RawCocoMetric(ann_file=ann_file), samples, classes=('a', 'b'))
    stock = score(CocoMetric(ann_file=ann_file), samples, classes=('a', 'b'))
    assert {name: round(figure, 3) for name, figure in raw.items()} == pytest.approx(stock, abs=1e-12)


def test_other_metrics_and_evaluators_are_refused(case):
    with pytest.raises(ValueError, match='bbox and segm, not proposal'):
        RawCocoMetric(ann_file=case[0], metric='proposal')
    with pytest.raises(ValueError, match="not 'other'"):
        RawCocoMetric(ann_file=case[0], evaluator='other')


def test_mmdet_builds_it(case):
    from mmdet.registry import METRICS
    assert isinstance(METRICS.build(dict(type='RawCocoMetric', ann_file=case[0])), RawCocoMetric)
