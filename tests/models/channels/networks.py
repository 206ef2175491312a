"""Networks for tests of the channel graph: MMDetection's detectors, small ones of them that run quickly, and toys."""

import copy

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

import nasdet.models  # noqa: F401 - registers MergingCellFPN
from nasdet.models.channels import ChannelGraph

CONFIGS = dict(
    retinanet='retinanet/retinanet_r50_fpn_1x_coco.py', fcos='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    faster_rcnn='faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', mask_rcnn='mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')


def config(name: str) -> ConfigDict:
    """Return MMDetection's model config; ``'nas_fpn'`` is its RetinaNet with a neck of merging cells."""
    source = CONFIGS['retinanet' if name == 'nas_fpn' else name]
    model = Config.fromstring(f"_base_ = ['mmdet::{source}']", '.py').model
    model.backbone.init_cfg = None
    model.backbone.frozen_stages = -1
    if name == 'nas_fpn':
        model.neck = ConfigDict(type='MergingCellFPN', in_channels=model.neck.in_channels, out_channels=256, num_outs=5,
                                start_level=1, genotype='nas_fpn_mmdet', norm_cfg=dict(type='BN'), stack_times=2)
    return model


def small(name: str) -> ConfigDict:
    """Return a narrow version of a config: R-50 with 8 base channels, neck and heads of 16 channels."""
    model = config(name)
    model.backbone.base_channels = 8
    model.neck.update(in_channels=[32, 64, 128, 256], out_channels=16)
    for head in (model.get('bbox_head'), model.get('rpn_head')):
        if head:
            head.update(in_channels=16, feat_channels=16)
    if name == 'fcos':
        model.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    for kind, width in (('bbox', dict(in_channels=16, fc_out_channels=24)),
                        ('mask', dict(in_channels=16, conv_out_channels=16))):
        if f'{kind}_head' in model.get('roi_head', {}):
            model.roi_head[f'{kind}_roi_extractor'].out_channels = 16
            model.roi_head[f'{kind}_head'].update(width)
    return model


def build(cfg: ConfigDict) -> nn.Module:
    """Build a network in memory, in evaluation mode, with statistics as after a training."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        network = MODELS.build(copy.deepcopy(cfg)).eval()
    for name, tensor in network.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network


def draw_alive(graph: ChannelGraph, seed: int) -> Tensor:
    """Draw which channels live: about half, at least one of each group."""
    alive = torch.rand(graph.num_channels, generator=torch.Generator().manual_seed(seed)) < 0.5
    alive[0] = True
    for group in graph.groups.values():
        alive[group.channels[0]] = True
    return alive


def run(detector: nn.Module, image: Tensor) -> list[Tensor]:
    """Run a detector with its own code, the heads behind regions on two fixed regions."""
    with torch.no_grad():
        maps = detector.extract_feat(image)
        if not hasattr(detector, 'roi_head'):
            return [*maps, *(level for part in detector.bbox_head(maps) for level in part)]
        regions = torch.tensor([[0, 3, 3, 40, 50], [0, 10, 20, 60, 61]], dtype=image.dtype)
        found = detector.roi_head._bbox_forward(maps, regions)
        outputs = [*maps, *(level for part in detector.rpn_head(maps) for level in part)]
        outputs += [found['cls_score'], found['bbox_pred']]
        if detector.roi_head.with_mask:
            outputs.append(detector.roi_head._mask_forward(maps, regions)['mask_preds'])
        return outputs


class SpecifiedNetwork(nn.Module):
    """The network by which the authors' library tests its own regulariser: two layers, a concatenation, two layers."""

    gammas = dict(bn1=((0.8, 7), (0.2, 6)), bn2=((-0.7, 11), (0.1, 12)), bn3=((0.6, 10), (-0.3, 19)),
                  bn4=((-0.5, 17), (-0.4, 14)))

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 13, (7, 5), padding=(3, 2))
        self.conv2 = nn.Conv2d(3, 23, 1)
        self.conv3 = nn.Conv2d(36, 29, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(36, 31, 1)
        for name, parts in self.gammas.items():
            gamma = torch.tensor([value for value, times in parts for _ in range(times)])
            setattr(self, name, nn.BatchNorm2d(len(gamma)))
            getattr(self, name).weight.data.copy_(gamma)

    def forward(self, image):
        joined = torch.cat([self.bn1(self.conv1(image)), self.bn2(self.conv2(image))], 1)
        return self.bn3(self.conv3(joined)), self.bn4(self.conv4(joined))


def inner(model, image):
    """Run a network whose outputs are not fixed."""
    model(image)


def toy(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6),
                         nn.BatchNorm2d(6), nn.Conv2d(6, 5, 1), nn.ReLU(), nn.Conv2d(5, 2, 1))
