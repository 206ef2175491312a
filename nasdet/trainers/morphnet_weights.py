"""The weights that a network which MorphNet has shrunk hands on to what it was expanded to."""

import copy
import itertools
import logging
import math
from functools import partial
from pathlib import Path
from typing import Sequence

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from nasdet.models.channels import choose_origin, fold_channels, inherit_weights, trace_channels
from nasdet.training import recalibrated, save_weights
from nasdet.training.checkpoints import shown_meta
from nasdet.training.importance import Importance

CALIBRATION = 200       # training images for the statistics of batch norms
SHOWN = 3
logger = logging.getLogger(__name__)


def hand_on(source: nn.Module, target: nn.Module, input_shape: Sequence[int]) -> None:
    """Give a network the most important channels of another, and what the others of its channels contributed.

    Args:
        source: The trained network; the constants of the channels that are left behind are folded into it.
        target: Has the same layers with other widths; changed in place.
        input_shape: (C, H, W) of an image.
    """
    graphs = [trace_channels(network, input_shape) for network in (target, source)]
    origin = choose_origin(*graphs, Importance(source, graphs[1])().detach())
    kept = torch.zeros(graphs[1].num_channels, dtype=torch.bool)
    kept[origin[origin >= 0]] = True
    lost = fold_channels(source, graphs[1], kept, input_shape)
    if lost:
        logger.warning('MorphNet: in %d layers what removed channels contributed is lost (%s)', len(lost),
                       '; '.join([*lost[:SHOWN], '...'][:len(lost)]))
    inherit_weights(target, graphs[0], source, graphs[1], origin)


def write_calibrated(network: nn.Module, config: Config, path: Path) -> None:
    """Write a network's weights, its batch norms with the statistics of 200 training images.

    Args:
        network: Stays as it is.
        config: Prepared.
        path: The file to write.
    """
    loading = copy.deepcopy(config.train_dataloader)
    loading.update(num_workers=0, persistent_workers=False)
    loading.pop('prefetch_factor', None)
    loader = Runner.build_dataloader(loading)
    batches = itertools.islice(loader, math.ceil(CALIBRATION / loading.batch_size))
    with torch.no_grad(), recalibrated(network, batches, partial(_run_for_statistics, network)):
        save_weights(path, network.state_dict(), dataset_meta=shown_meta(loader.dataset.metainfo))


def _run_for_statistics(model: nn.Module, batch: dict) -> None:
    """Run a network on a training batch, heads included."""
    batch = model.data_preprocessor(batch, True)
    model(batch['inputs'], batch['data_samples'], mode='loss')
