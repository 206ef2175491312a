"""COCO's statistics as they are: not rounded, and 0.0 where nothing was detected."""

import contextlib
import importlib.util
import io
from typing import Optional, Sequence

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import print_log

AREAS = ('all', 'small', 'medium', 'large')
# name: (array of the evaluation, IoU or None for the mean, area, which of proposal_nums or None for 100)
STATISTICS = {
    'mAP': ('precision', None, 'all', None), 'mAP_50': ('precision', 0.5, 'all', -1),
    'mAP_75': ('precision', 0.75, 'all', -1), 'mAP_s': ('precision', None, 'small', -1),
    'mAP_m': ('precision', None, 'medium', -1), 'mAP_l': ('precision', None, 'large', -1),
    'AR@100': ('recall', None, 'all', 0), 'AR@300': ('recall', None, 'all', 1), 'AR@1000': ('recall', None, 'all', 2),
    'AR_s@1000': ('recall', None, 'small', -1), 'AR_m@1000': ('recall', None, 'medium', -1),
    'AR_l@1000': ('recall', None, 'large', -1)}
DEFAULT_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


@METRICS.register_module()
class RawCocoMetric(CocoMetric):
    """mmdet's CocoMetric with unrounded figures under the same names: ``coco/bbox_mAP``, ``coco/segm_mAP_50``, ...

    It differs from mmdet's in three more things: where nothing was detected every figure is 0.0 instead of absent;
    it scores the images that it was given, so that a part of a split can be scored; and it evaluates with
    ``faster-coco-eval`` where that is installed. A figure without any ground truth is -1, as COCO has it.

    Args:
        ann_file: Path of the COCO annotation file.
        metric: ``'bbox'``, ``'segm'``, or a list of them.
        evaluator: ``'faster_coco_eval'`` or ``'pycocotools'``; None takes the first that is installed.
        **kwargs: As CocoMetric takes them.

    Raises:
        ValueError: Another metric (proposal recall is CocoMetric's), or another evaluator.
    """

    def __init__(self, ann_file: str, metric='bbox', evaluator: Optional[str] = None, **kwargs):
        super().__init__(ann_file=ann_file, metric=metric, **kwargs)
        check_kinds(self.metrics)
        if evaluator is None:
            evaluator = 'faster_coco_eval' if importlib.util.find_spec('faster_coco_eval') else 'pycocotools'
        self._coco_class, self._eval_class = _evaluator(evaluator)
        with contextlib.redirect_stdout(io.StringIO()):
            self._truth = self._coco_class()
            self._truth.dataset = self._coco_api.dataset
            self._truth.createIndex()

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures of the processed results.

        Args:
            results: ``(ground truth, prediction)`` pairs as CocoMetric collects them; only the predictions are used.

        Returns:
            Figures by name, without the prefix ``coco/``.
        """
        if self.format_only:
            return super().compute_metrics(results)
        self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
        predictions = [prediction for _, prediction in results]
        if self.outfile_prefix is not None:
            self.results2json(predictions, self.outfile_prefix)
        figures = {}
        for kind in self.metrics:
            detections = self._detections(predictions, kind)
            image_ids = [prediction['img_id'] for prediction in predictions]
            figures.update(self._evaluate(kind, detections, image_ids))
        print_log(' '.join(f'{name}={figure:.4f}' for name, figure in figures.items()), logger='current')
        return figures

    def _detections(self, predictions: Sequence[dict], kind: str) -> list[dict]:
        """Return the predictions in COCO's result format; of masks without boxes, so that areas are the masks'."""
        detections = []
        for prediction in predictions:
            scores = prediction['scores']
            if kind == 'segm':
                scores = prediction.get('mask_scores', scores)
            for index, label in enumerate(prediction['labels']):
                detection = dict(image_id=prediction['img_id'], category_id=self.cat_ids[label],
                                 score=float(scores[index]))
                if kind == 'segm':
                    detection['segmentation'] = prediction['masks'][index]
                else:
                    detection['bbox'] = self.xyxy2xywh(prediction['bboxes'][index])
                detections.append(detection)
        return detections

    def _evaluate(self, kind: str, detections: list[dict], image_ids: list[int]) -> dict[str, float]:
        items = self.metric_items or DEFAULT_ITEMS
        names = [category['name'] for category in self._coco_api.load_cats(sorted(self.cat_ids))]
        if not detections:
            classes = dict.fromkeys((f'{name}_precision' for name in names), 0.0) if self.classwise else {}
            return {**classes, **dict.fromkeys((f'{kind}_{item}' for item in items), 0.0)}
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._eval_class(self._truth, self._truth.loadRes(detections), kind)
            evaluation.params.catIds = self.cat_ids
            evaluation.params.imgIds = image_ids
            evaluation.params.maxDets = self.proposal_nums
            evaluation.params.iouThrs = np.asarray(self.iou_thrs)
            evaluation.evaluate()
            evaluation.accumulate()
        figures = {}
        if self.classwise:
            precision = np.asarray(evaluation.eval['precision'])
            figures = {f'{name}_precision': _mean(precision[:, :, index, 0, -1]) for index, name in enumerate(names)}
        figures.update({f'{kind}_{item}': self._statistic(evaluation, item) for item in items})
        return figures

    def _statistic(self, evaluation, item: str) -> float:
        array, iou, area, limit = STATISTICS[item]      # arrays: (IoU, [recall,] class, area, limit)
        if limit is None:   # COCO's mAP is over the best 100 detections of an image, whatever else is asked for
            limit = self.proposal_nums.index(100) if 100 in self.proposal_nums else -1
        values = np.asarray(evaluation.eval[array])[..., AREAS.index(area), limit]
        if iou is not None:
            values = values[np.isclose(self.iou_thrs, iou)]
        return _mean(values)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse what :class:`RawCocoMetric` does not measure: all but boxes and masks."""
    unknown = set(kinds) - {'bbox', 'segm'}
    if unknown:
        raise ValueError(f'RawCocoMetric knows the metrics bbox and segm, not {", ".join(sorted(unknown))}')


def _evaluator(name: str) -> tuple[type, type]:
    if name == 'faster_coco_eval':
        from faster_coco_eval import COCO, COCOeval_faster
        return COCO, COCOeval_faster
    if name == 'pycocotools':
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        return COCO, COCOeval
    raise ValueError(f'RawCocoMetric evaluates with faster_coco_eval or pycocotools, not {name!r}')


def _mean(values: np.ndarray) -> float:
    """Return the mean over what has ground truth, -1 where nothing has."""
    present = values[values > -1]
    return float(present.mean()) if present.size else -1.0
