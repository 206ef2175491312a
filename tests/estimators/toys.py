"""What the tests of supernet scoring share."""

import numpy as np
from mmdet.models import ResNet
from mmdet.registry import MODELS

from nasdet.spaces import MergingCellSpace

SMALL = dict(epochs=2, recalibration_images=9, batch_size=4, train_threads=1)       # of a SupernetEstimator


def genotypes(space, number):
    """Return some genotypes, the same ones at each call."""
    return [space.sample(np.random.default_rng(seed)) for seed in range(number)]


@MODELS.register_module()
class SearchedResNet(ResNet):
    """A backbone with paths, all the same."""

    def set_path(self, value):
        """Choose nothing."""


class SearchedBackboneSpace(MergingCellSpace):
    """Merging cells, and a backbone that takes part in the search."""

    def supernet(self, model):
        """Return the supernet's config."""
        cfg = super().supernet(model)
        cfg['backbone']['type'] = 'SearchedResNet'
        return cfg
