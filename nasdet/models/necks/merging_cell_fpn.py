"""The NAS-FPN neck of any genotype.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392.
"""

from typing import Iterator, Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.drop_block import PyramidDropBlock
from nasdet.models.layers.merging import needs_extra_projection, read_cells, run_cells
from nasdet.models.layers.pyramid import PyramidInputs, merging_conv


@MODELS.register_module()
class MergingCellFPN(BaseModule):
    """Fuses a feature pyramid by merging cells, the same topology stacked several times with weights of its own.

    Args:
        in_channels: Channels of each backbone map, finest first.
        out_channels: Channels of every output; None: the genotype's ``width``.
        num_outs: Number of outputs, and of the genotype's levels.
        genotype: Plain value of a MergingCellSpace genotype, or the name of a published one (``'nas_fpn'``).
        start_level: Index of the first backbone map used.
        stack_times: Times that the topology is applied; None: the genotype's ``stacks``, else 1.
        norm_cfg: Normalisation after each convolution.
        init_cfg: How mmengine initialises the weights.
        exit_stack: Runs the first stacks only, this many; all weights exist, so that one checkpoint serves every
            exit (anytime detection). None runs all.
        drop_block: Arguments of :class:`PyramidDropBlock`, such as ``dict(drop_prob=0.1, block_size=7)``, applied in
            training to the output of every cell, after its normalisation (authors' code). None drops nothing.

    Raises:
        ValueError: The genotype is not one, or says something else than an argument, or the levels do not fit, or
            there is no such exit.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: Optional[int] = None, *, num_outs: int,
                 genotype: Union[str, Mapping], start_level: int = 0, stack_times: Optional[int] = None,
                 norm_cfg: Optional[dict] = None,
                 init_cfg: Union[dict, list, None] = dict(type='Caffe2Xavier', layer='Conv2d'),  # noqa: B006
                 exit_stack: Optional[int] = None, drop_block: Optional[dict] = None):
        super().__init__(init_cfg=init_cfg)
        genotype = genotype_value(genotype)
        self.cells = read_cells(genotype)
        self.levels = tuple(genotype['levels'])
        self.mode = genotype['gp_mode']
        if num_outs != len(self.levels):
            raise ValueError(f'num_outs={num_outs}, but the genotype has the levels {list(self.levels)}')
        width = _settled('out_channels', out_channels, 'width', genotype)
        if width is None:
            raise ValueError('neither out_channels of the neck nor width of the genotype says how many channels it has')
        stacks = _settled('stack_times', stack_times, 'stacks', genotype) or 1
        extra = genotype.get('extra_projection', False) and needs_extra_projection(self.cells)
        self.inputs = PyramidInputs(in_channels, width, num_outs, start_level, genotype['top'], self.mode, norm_cfg,
                                    extra)
        kind = genotype.get('conv', 'dense')
        self.stacks = nn.ModuleList(
            nn.ModuleList(merging_conv(width, genotype['conv_bias'], norm_cfg, kind) for _ in self.cells)
            for _ in range(stacks))
        if exit_stack is not None and not 1 <= exit_stack <= stacks:
            raise ValueError(f'exit_stack={exit_stack}, but this neck has the stacks 1 to {stacks}')
        self.exit_stack = exit_stack
        # One for each cell, as each counts the iterations of its warm-up; they have no weights.
        self.drop_blocks = None if drop_block is None else nn.ModuleList(
            nn.ModuleList(PyramidDropBlock(**drop_block) for _ in self.cells) for _ in range(stacks))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the maps of a backbone.

        Args:
            inputs: Each (N, C_i, H_i, W_i), finest first.

        Returns:
            ``num_outs`` maps (N, out_channels, H, W), finest first.
        """
        for pyramid in self._run(inputs):       # lets go of every pyramid but the last
            outputs = pyramid
        return outputs

    def pyramids(self, inputs: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        """Return the outputs of every stack that runs, first to last, each as :meth:`forward` returns the last."""
        return list(self._run(inputs))

    def _run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        features = self.inputs(inputs)
        extra = self.inputs.project_again(inputs)
        for stack in range(self.exit_stack or len(self.stacks)):
            features = run_cells(features, self.levels, self.cells, self._after_merge(stack), self.mode, extra)
            extra = None        # later stacks read outputs, no backbone map
            yield tuple(features)

    def _after_merge(self, stack: int) -> Sequence[nn.Module]:
        """Return what each cell of a stack does to its merged features."""
        convs = self.stacks[stack]
        if self.drop_blocks is None or not self.training:
            return convs
        return [nn.Sequential(conv, drop) for conv, drop in zip(convs, self.drop_blocks[stack], strict=True)]


def _settled(argument: str, given: Optional[int], key: str, genotype: Mapping) -> Optional[int]:
    """Return what an argument of the neck, or a key of the genotype, says; None where neither does."""
    written = genotype.get(key)
    if None not in (given, written) and given != written:
        raise ValueError(f'{argument}={given}, but the genotype has {key}={written}: leave {argument} out')
    return written if given is None else given
