"""Follows channels through one forward pass: each tensor is accompanied by the numbers of its channels.

The numbers of a tensor are a tensor of the same dimensions, with size 1 where they do not vary: (1, C, 1, 1) for a
feature map. What only moves elements about and leaves the channels whole and in their order (concatenation, flatten, a
permuted or reshaped map, a slice of its rows) is done to the numbers as it is to the tensor; what combines tensors
element by element ties their numbers; a layer with weights ties what it reads in all its calls, and gives its outputs
numbers of their own. Any other operation fixes the channels it reads, which is always safe, and is noted. A split, an
index or another grouping of the channels (channel shuffle) is such an operation: numbers could follow it, but with
fewer channels the network's own code would cut elsewhere.
"""

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from nasdet.models.channels.graph import FIXED, Call, Layer
from nasdet.models.channels.numbering import aligned, compressed, tensors, whole

MOVES = {'view', 'reshape', 'flatten', 'unflatten', 'permute', 'transpose', 'squeeze', 'unsqueeze', 'cat', 'concat',
         'stack', 'expand', 'repeat'}
CUTS = {'split', 'chunk', 'unbind', 'narrow', 'select', '__getitem__'}
JOINS = {'cat', 'concat', 'stack'}
ELEMENTWISE = {
    'relu', 'relu_', 'relu6', 'leaky_relu', 'leaky_relu_', 'elu', 'gelu', 'silu', 'mish', 'hardswish', 'hardsigmoid',
    'hardtanh', 'sigmoid', 'sigmoid_', 'tanh', 'tanh_', 'softplus', 'exp', 'log', 'sqrt', 'abs', 'neg', '__neg__',
    'square', 'pow', '__pow__', 'clamp', 'clamp_', 'clip', 'dropout', 'dropout_', 'feature_dropout', 'dropout2d',
    'contiguous', 'clone', 'detach', 'float', 'to', 'type_as', 'add', 'add_', '__add__', '__radd__', '__iadd__', 'sub',
    'sub_', '__sub__', '__rsub__', '__isub__', 'mul', 'mul_', '__mul__', '__rmul__', '__imul__', 'div', 'div_',
    '__truediv__', '__rtruediv__', '__itruediv__', 'maximum', 'minimum', 'lerp'}
POOLS = {'max_pool2d', 'max_pool2d_with_indices', 'avg_pool2d', 'adaptive_avg_pool2d', 'adaptive_max_pool2d',
         'interpolate', 'upsample', 'pad'}
REDUCTIONS = {'mean', 'sum', 'amax', 'amin'}
NORMS = {'batch_norm', 'group_norm'}
CONVOLUTIONS = {'conv1d', 'conv2d', 'conv3d', 'conv_transpose1d', 'conv_transpose2d', 'conv_transpose3d', 'linear'}
# What reads and writes no memory of its own: views, what does nothing in evaluation mode, and layers, which have calls.
UNCOUNTED = ((MOVES - JOINS) | CUTS | CONVOLUTIONS | NORMS |
             {'dropout', 'dropout_', 'feature_dropout', 'dropout2d', 'contiguous', 'detach', 'float', 'to', 'type_as'})


class ChannelTracer(TorchFunctionMode):
    """Sees every call of a torch function while a network runs once, for one image, in evaluation mode.

    Args:
        names: Dotted name of each module that may run.
    """

    def __init__(self, names: dict[nn.Module, str]):
        super().__init__()
        self.names = names
        self.running: list[nn.Module] = []
        self.called: set[nn.Module] = set()
        self.layers: dict[str, Layer] = {}
        self.ties: list[tuple[Tensor, Tensor]] = []
        self.stops: dict[str, None] = {}        # in order, each once
        self.counting = True        # what operations without weights read and write
        self.traffic: list[tuple[str, Tensor, float]] = []      # where, numbers, elements of each number
        self.atoms = FIXED + 1
        self._numbers = WeakTensorKeyDictionary()
        self._source = WeakTensorKeyDictionary()    # the layer that a tensor is the output of, untouched since

    def enter(self, module: nn.Module, *_) -> None:
        """Note that a module begins to run; its forward pre-hook."""
        self.running.append(module)
        self.called.add(module)

    def leave(self, *_) -> None:
        """Note that it has run; its forward hook."""
        self.running.pop()

    def fix(self, value: Any) -> None:
        """Fix the channels of all tensors in a value, such as the network's input or output."""
        for tensor in tensors(value):
            if tensor in self._numbers:
                self._tie(self._numbers[tensor], torch.tensor(FIXED))
            else:
                self._numbers[tensor] = torch.full((1,) * tensor.ndim, FIXED)

    def carry(self, name: str, tensor: Tensor) -> None:
        """Note the channels (N, C, ...) that a module without weights writes, whose ``out_channels`` says how many."""
        numbers = self._along(tensor, 1)
        elements = tensor.numel() / len(numbers)
        self.layers[name] = Layer(name, 'carrier', numbers, numbers, (Call(elements, elements),))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        before = [tensor for tensor in tensors((args, kwargs)) if tensor in self._numbers]
        result = func(*args, **kwargs)
        outputs = list(tensors(result))
        name = getattr(func, '__name__', str(func))
        if before and name == '__setitem__':    # it returns nothing, and what it writes to may be new
            self._stop(name, list(tensors((args, kwargs))), [args[0]])
        elif before and outputs:
            if not self._follow(name, func, args, kwargs, result):
                self._stop(name, before, outputs)
            elif self.counting and name not in UNCOUNTED:
                self._count(before + outputs)
        return result

    def _count(self, moved: list[Tensor]) -> None:
        """Note what an operation without weights reads and writes."""
        where = self.names.get(self.running[-1], '') if self.running else ''
        for tensor in moved:
            numbers = self._numbers[tensor]
            self.traffic.append((where, numbers.flatten(), tensor.numel() / numbers.numel()))

    def _follow(self, name: str, func, args: tuple, kwargs: dict, result: Any) -> bool:
        """Give a result its numbers; False where there is no rule for the function, or it does not apply."""
        if name in CONVOLUTIONS:
            return self._weighted(args[0] if args else kwargs['input'], result)
        if name in NORMS:
            return self._normalised(args[0], result)
        if name in ELEMENTWISE or (name in ('max', 'min') and len(list(tensors(args))) == 2):
            return self._combined(list(tensors((args, kwargs))), result)
        if name in MOVES or name in CUTS:
            return self._moved(name, func, args, kwargs, result)
        if name in POOLS:
            return self._pooled(args[0] if args else kwargs['input'], result)
        if name in REDUCTIONS:
            return self._reduced(args[0], args[1] if len(args) > 1 else kwargs.get('dim'), result)
        return False

    def _stop(self, name: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Fix what an operation reads and writes."""
        where = self.names.get(self.running[-1], '') if self.running else ''
        self.stops[f'{name} in {where or "the network"}'] = None
        self.fix(inputs)
        for tensor in outputs:
            self._numbers[tensor] = torch.full((1,) * tensor.ndim, FIXED)
            self._source.pop(tensor, None)

    # ---- layers with weights

    def _weighted(self, read: Tensor, result: Tensor) -> bool:
        module = self.running[-1] if self.running else None
        if not isinstance(module, (_ConvNd, nn.Linear)) or module not in self.names:
            return False
        dim = -1 if isinstance(module, nn.Linear) else 1
        inputs = self._along(read, dim)
        groups = getattr(module, 'groups', 1)
        counted, width = (read, len(inputs)) if isinstance(module, _ConvTransposeNd) else (result, result.shape[dim])
        kernel = module.weight[0, 0].numel()
        positions = counted.numel() // width
        moved = read.numel() / len(inputs), result.numel() / result.shape[dim]
        calls = (Call(*moved, positions * kernel / (groups if groups < len(inputs) else 1)),)
        if groups == 1:
            outputs = self._known_outputs(module, result.shape[dim])
            layer = Layer(self.names[module], 'dense', inputs, outputs, calls, float(kernel))
        elif groups == len(inputs):
            outputs = inputs.repeat_interleave(result.shape[dim] // groups)
            layer = Layer(self.names[module], 'depthwise', inputs, outputs, calls, float(kernel))
        else:   # a slice of such a convolution is none: every group would have to lose as many channels
            self._tie(inputs, torch.tensor(FIXED))
            inputs, outputs = torch.full_like(inputs, FIXED), torch.full((result.shape[dim],), FIXED)
            layer = Layer(self.names[module], 'dense', inputs, outputs, calls, kernel / groups)
            self.stops[f'convolution in {groups} groups in {layer.name}'] = None
        self._add(layer)
        self._write(result, outputs, dim)
        self._source[result] = layer.name
        return True

    def _known_outputs(self, module: nn.Module, width: int) -> Tensor:
        """Return the numbers of a layer's outputs: those of its first call."""
        name = self.names[module]
        if name not in self.layers:
            self.atoms += width
            return torch.arange(self.atoms - width, self.atoms)
        return self.layers[name].outputs

    def _normalised(self, read: Tensor, result: Tensor) -> bool:
        module = self.running[-1] if self.running else None
        if not isinstance(module, (_BatchNorm, nn.GroupNorm)) or module not in self.names:
            return False
        numbers = self._along(read, 1)
        if isinstance(module, nn.GroupNorm):    # a part of a group has other statistics than the whole
            tied = numbers.view(module.num_groups, -1)
            self._tie(tied, tied[:, :1])
        follows = self._source.get(read) if isinstance(module, _BatchNorm) else None
        each = read.numel() / len(numbers)
        self._add(Layer(self.names[module], 'norm', numbers, numbers, (Call(each, each),), 2.0 * module.affine,
                        follows))
        self._write(result, numbers, 1)
        return True

    def _add(self, layer: Layer) -> None:
        """Note a call of a layer; what several calls read and write belongs together."""
        known = self.layers.get(layer.name)
        if known is not None:
            self._tie(known.inputs, layer.inputs)
            self._tie(known.outputs, layer.outputs)
            follows = layer.follows if layer.follows == known.follows else None
            layer = Layer(layer.name, layer.kind, known.inputs, known.outputs, known.calls + layer.calls,
                          layer.weights, follows)
        self.layers[layer.name] = layer

    # ---- operations without weights

    def _combined(self, operands: list[Tensor], result: Tensor) -> bool:
        """Tie the operands of an operation that works element by element, with broadcasting."""
        dims = result.ndim
        known = {operand: aligned(self._numbers[operand], dims) for operand in operands if operand in self._numbers}
        varies = [any(numbers.shape[dim] > 1 for numbers in known.values()) for dim in range(dims)]
        numbers: Optional[Tensor] = None
        for operand in operands:
            shape = (1,) * (dims - operand.ndim) + tuple(operand.shape)
            if any(varies[dim] and shape[dim] == 1 for dim in range(dims)):     # one channel for all
                self.fix([operand] if operand in known else [])
            elif operand not in known:
                if any(varies):
                    return False    # a constant or a parameter with a value for each channel
            elif numbers is None:
                numbers = known[operand]
            else:
                self._tie(numbers, known[operand])
                numbers = torch.broadcast_tensors(numbers, known[operand])[0]
        self._numbers[result] = torch.full((1,) * dims, FIXED) if numbers is None else numbers
        self._source.pop(result, None)
        return True

    def _moved(self, name: str, func, args: tuple, kwargs: dict, result: Any) -> bool:
        """Do to the numbers what was done to the tensors, where the channels stay whole."""
        read = list(tensors((args, kwargs)))
        if name not in JOINS and (len(read) > 1 or read[0] not in self._numbers):
            return False            # an index that is a tensor
        moved = [compressed(numbers) for numbers in tensors(func(*self._numbered(args), **self._numbered(kwargs)))]
        if name not in JOINS and not all(whole(self._numbers[read[0]], numbers, name in CUTS) for numbers in moved):
            return False
        for tensor, numbers in zip(tensors(result), moved, strict=True):
            self._numbers[tensor] = numbers
        return True

    def _numbered(self, value: Any) -> Any:
        """Return a value with numbers in the place of tensors."""
        if isinstance(value, Tensor):
            fixed = torch.full((1,) * value.ndim, FIXED)
            return self._numbers.get(value, fixed).expand(value.shape)
        if isinstance(value, dict):
            return {name: self._numbered(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self._numbered(item) for item in value])
        return value

    def _pooled(self, read: Tensor, result: Any) -> bool:
        """Keep the channels (N, C, ...) of an operation that works on each by itself."""
        numbers = self._numbers.get(read)
        outputs = list(tensors(result))
        if numbers is None or any(size > 1 for dim, size in enumerate(numbers.shape) if dim != 1):
            return False
        if any(output.shape[:2] != read.shape[:2] or output.ndim != read.ndim for output in outputs):
            return False
        for output in outputs:
            self._numbers[output] = numbers
        return True

    def _reduced(self, read: Tensor, dims: Any, result: Tensor) -> bool:
        """Drop the dimensions that are averaged or added up, where channels do not vary along them."""
        dims = (dims,) if isinstance(dims, int) else tuple(dims or range(read.ndim))
        numbers = self._numbers[read]
        dims = sorted((dim % read.ndim for dim in dims), reverse=True)
        if any(read.shape[dim] > 1 and numbers.shape[dim] > 1 for dim in dims):
            return False
        for dim in dims if result.ndim < read.ndim else ():
            numbers = numbers.squeeze(dim)
        self._numbers[result] = numbers
        return True

    # ---- numbers

    def _along(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the number of each channel along a dimension; if they vary along another one too, all are fixed."""
        numbers, dim = self._numbers[tensor], dim % tensor.ndim
        if any(size > 1 for other, size in enumerate(numbers.shape) if other != dim):
            self.fix([tensor])
            return torch.full((tensor.shape[dim],), FIXED)
        return numbers.flatten().expand(tensor.shape[dim])

    def _write(self, result: Tensor, numbers: Tensor, dim: int) -> None:
        shape = [1] * result.ndim
        shape[dim] = len(numbers)
        self._numbers[result] = numbers.reshape(shape)

    def _tie(self, a: Tensor, b: Tensor) -> None:
        a, b = torch.broadcast_tensors(a, b)
        if not torch.equal(a, b):
            self.ties.append((a.flatten(), b.flatten()))
