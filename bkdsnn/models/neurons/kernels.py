"""Kernels of compiled neurons: the graph of each direction, traced from the eager neuron, and its compiled code.

There is no second definition: ``charge`` is traced, whatever it is, and fused by ``torch.compile`` into C++ on a CPU
and Triton on a GPU.
"""
import platform
import shlex
import subprocess
import time
from contextlib import contextmanager
from functools import lru_cache, partial, reduce
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.func import functional_call
from torch.utils.dlpack import from_dlpack, to_dlpack

from bkdsnn.utils.out_of_memory import find_memory_error

from .base import State, states_of
from .surrogate import Surrogate

# All loops are cut among the threads that there are when they run, also where the first input was small.
OPTIONS = {'cpp.min_chunk_size': 1, 'cpp.dynamic_threads': True}
# What a step may do besides operations on each number by itself: look at the axes of time, and make constants.
OTHER_OPERATIONS = {'unbind', 'copy_', 'detach', 'alias', 'clone', '_to_copy', 'lift_fresh_copy', 'sym_size', 'full',
                    'full_like', 'zeros_like', 'ones_like', 'scalar_tensor'}
_problems = {}  # by device type: why nothing can be compiled, or None
# Attributes of a node that its code does not depend on: a module's own, and what a run leaves there.
NOT_CODE = {*vars(nn.Module()), 'backend', '_stored', '_rests_at_rest'}
_kernels = {}  # by all that the code of one depends on
_compiles = True  # whether a call may compile


class NotTraceableError(TypeError):
    """A node has no graph, since its code is more than operations on each number by itself."""


def why_not(device: str) -> Optional[str]:
    """Why nothing can be compiled for a type of device, or ``None``."""
    if device not in _problems:
        _problems[device] = _missing_compiler(device)
    return _problems[device]


def _missing_compiler(device: str) -> Optional[str]:
    if device == 'cpu':
        from torch._inductor import cpp_builder, exc  # heavy, and only needed to compile
        try:
            cpp_builder.get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            return 'there is no C++ compiler; install g++ or clang, or name one in the environment variable CXX'
        return None
    from torch.utils._triton import has_triton  # likewise
    return None if has_triton() else f'Triton does not work here for the device type {device!r}'


@lru_cache(maxsize=1)
def cpu_options() -> Dict[str, object]:
    """Options of ``torch.compile`` for CPUs.

    By default PyTorch tries each set of instructions that the processor has with a program of its own, for eight
    seconds at first use. Compilers from GCC 11 and Clang 11 on have all of them.

    The length of vectors is named, since PyTorch searches its cache of programs without it: where one was written for
    long vectors, as before ``ATEN_CPU_CAPABILITY=avx2``, one for short vectors would get its loops, and leave half of
    the numbers out.
    """
    from torch._inductor import config, cpu_vec_isa  # heavy, and only needed to compile
    options = {**OPTIONS, 'cpp.vec_isa_ok': True} if _compiler_has_all_instructions() else OPTIONS
    with config.patch(options):
        return {**options, 'cpp.simdlen': cpu_vec_isa.pick_vec_isa().bit_width()}


def name_vector_length() -> None:
    """Have programs that are compiled with PyTorch's own options named alike, see :func:`cpu_options`."""
    from torch._inductor import config  # heavy, and only needed to compile
    if why_not('cpu') is None and config.cpp.simdlen is None:
        config.cpp.simdlen = cpu_options()['cpp.simdlen']


def _compiler_has_all_instructions() -> bool:
    if platform.machine() != 'x86_64':
        return False
    from torch._inductor import cpp_builder  # heavy, and only needed to compile
    command = [*shlex.split(cpp_builder.get_cpp_compiler()), '-dumpversion']
    try:
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(version.split('.')[0]) >= 11
    except (OSError, subprocess.CalledProcessError, ValueError):
        return False


def only_allocates(x: Tensor) -> bool:
    """Whether ``x`` is a fake tensor and no graph is traced from it: kernels then allocate their outputs, no more."""
    if not is_fake(x):
        return False
    from torch.fx.experimental.proxy_tensor import get_proxy_mode  # heavy, and only needed in exports
    return get_proxy_mode() is None


@contextmanager
def compiling_nothing() -> Iterator[None]:
    """Inside, kernels that are not compiled yet run as their graph does; they are compiled at a later call."""
    global _compiles
    before, _compiles = _compiles, False
    try:
        yield
    finally:
        _compiles = before


class Kernel:
    """A graph that is compiled at its first call."""

    def __init__(self, graph: Callable, what: str, device: str, may_fall_back: bool) -> None:
        self.graph, self.what, self.device, self.may_fall_back = graph, what, device, may_fall_back
        self.run = None

    def __call__(self, *tensors: Tensor):
        """Outputs of the graph."""
        tensors = [_own(tensor) for tensor in tensors]
        if self.run is None and self.may_fall_back and why_not(self.device):
            self.run = self.graph  # another direction or neuron has failed
        if self.run is not None:
            return self.run(*tensors)
        if not _compiles:
            return self.graph(*tensors)
        start = time.perf_counter()
        try:
            options = cpu_options() if self.device == 'cpu' else None
            compiled = torch.compile(self.graph, dynamic=True, options=options)
            result = compiled(*tensors)
        except Exception as error:  # compilers raise what they like
            if memory_error := find_memory_error(error):
                raise memory_error from None  # which says nothing of the compiler; the next call tries again
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if not self.may_fall_back:
                raise RuntimeError(f"Neurons: backend='compile' failed for {self.what}: {reason}. Set backend='eager', "
                                   "or 'auto', which falls back to it.") from error
            print_log(f"Neurons: compiling {self.what} failed ({reason}); backend='auto' goes on with 'eager'.",
                      logger='current')
            _problems[self.device] = reason
            self.run = self.graph
            return self.graph(*tensors)
        print_log(f'Neurons: compiled {self.what} in {time.perf_counter() - start:.1f} s.', logger='current')
        self.run = compiled
        return result


def _own(tensor: Tensor) -> Tensor:
    """The same memory as a tensor of its own: views are compiled for the shape of their base and where they start."""
    tensor = tensor.data
    return from_dlpack(to_dlpack(tensor)) if tensor.storage_offset() else tensor


def tensors_of(node: nn.Module) -> Dict[str, Tensor]:
    """Parameters and buffers of a node."""
    return dict(node.named_parameters(), **dict(node.named_buffers()))


def kernel_of(node: nn.Module, is_backward: bool, may_fall_back: bool, x: Tensor, grad: Optional[Tensor] = None,
              affine_dtype: Optional[torch.dtype] = None, carries: int = 0, sums_steps: bool = False) -> Kernel:
    """That of all nodes of the same type and constants; sizes other than T are symbols in it. See :func:`trace`.

    Raises:
        NotTraceableError: If there is none.
    """
    if only_allocates(x):
        return partial(_allocate, len(tensors_of(node)), is_backward, carries)
    kinds = tuple((t.dtype, t.numel() == 1 and t.shape) for t in tensors_of(node).values())
    key = (type(node), constants_of(node), kinds, is_backward, may_fall_back, x.device, x.dtype, x.shape[0], x.dim(),
           grad is not None and grad.dtype, affine_dtype, carries, sums_steps)
    what = (f'{type(node).__name__}{" with its norm" if affine_dtype else ""} '
            f'{"backward" if is_backward else "forward"}, T={x.shape[0]}{" of more" if carries else ""}, '
            f'{str(x.dtype)[6:]}, {x.device.type}{", one image" if sums_steps else ""}')
    return traced_once(key, what, x.device.type, may_fall_back,
                       partial(trace, node, is_backward, x, grad, affine_dtype, carries, sums_steps))


def traced_once(key: tuple, what: str, device: str, may_fall_back: bool, make_graph: Callable[[], nn.Module]) -> Kernel:
    """The kernel of a graph that is traced when its key is new.

    Raises:
        NotTraceableError: If it cannot be.
    """
    if key not in _kernels:
        try:
            graph = make_graph()
        except Exception as error:  # whatever a node's code makes of tensors without values
            if memory_error := find_memory_error(error):
                raise memory_error from None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise NotTraceableError(f'{what} cannot be traced: {reason}') from error
        _kernels[key] = Kernel(graph, what, device, may_fall_back)
    return _kernels[key]


def _allocate(number: int, is_backward: bool, carries: int, *tensors: Tensor) -> List[Optional[Tensor]]:
    """What a kernel of a node with ``number`` parameters and buffers returns, without values."""
    first = len(tensors) - number - carries * (2 if is_backward else 1)
    returned = [*tensors[first:first + carries], *(tensors[len(tensors) - number:] if is_backward else ())]
    return [torch.empty_like(t) if t.is_floating_point() else None for t in returned]


def constants_of(node: nn.Module) -> tuple:
    """Attributes that are part of a node's code, and those of the modules in it."""
    constants = {name: value for name, value in vars(node).items() if name not in NOT_CODE}
    if not type(node).__module__.startswith('bkdsnn.'):  # whose code does not ask
        constants['training'] = node.training
    for name, value in constants.items():
        if not isinstance(value, (bool, int, float, str, type(None), Surrogate)):
            raise NotTraceableError(f'{type(node).__name__}.{name} is a {type(value).__name__}; constants of a neuron '
                                    'are numbers and strings, and tensors are parameters or buffers')
    return (*constants.items(), *((name, type(part), constants_of(part)) for name, part in node.named_children()))


class _Definition(nn.Module):
    """The eager steps of a node, without its hooks, which must see tensors and no traces."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.node = node

    def forward(self, x: Sequence[Tensor], v: State = None) -> Tuple[List[Tensor], State]:
        return self.node.run_steps(x, v)


def trace(node: nn.Module, is_backward: bool, x: Tensor, grad: Optional[Tensor] = None,
          affine_dtype: Optional[torch.dtype] = None, carries: int = 0, sums_steps: bool = False) -> nn.Module:
    """One direction of a node as a graph of tensor operations, unrolled over time.

    Args:
        node: Its :meth:`~bkdsnn.models.neurons.BaseNode.run_steps` is traced.
        is_backward: Whether to trace the gradient.
        x: Input current (T, ...) with as few axes as there may be; only its device, dtype, T and axes count.
        grad: Gradient of the spikes, likewise; for ``is_backward``.
        affine_dtype: If given, the neuron's current is not ``x`` but ``x * scale + shift``, with two tensors of this
            dtype and the shape of ``x``.
        carries: How many states, as the membrane, come from steps before and go on to steps after these.
        sums_steps: For ``is_backward``: whether the gradient of the current is that of all steps together, and there is
            one ``out`` for it.

    Returns:
        ``graph(x, *affine, *outs, *carried, *tensors) -> [*v]``, which writes the spikes of each step to one of
        ``outs``; or ``graph(x, grad, *affine, *outs, *carried, *tensors) -> [*grad_v, *grads]``, which writes the
        gradient of the current there and returns those of each parameter and buffer (``None`` for those that are no
        floating point or not used). ``affine`` is ``scale, shift`` or nothing. What is carried, if anything, are the
        states ``v`` before the steps and, backward, the gradients of those after them; then those after them, or the
        gradients of those before, are returned. Of ``tensors``, those of one number are as in the node, and others have
        the shape of one step.

    Raises:
        NotTraceableError: If a step does more than operations on each number by itself.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # heavy, and only needed to compile
    steps = _Steps(node, is_backward, 1 if sums_steps else x.shape[0], affine_dtype is not None, carries)
    with torch.no_grad():
        graph = make_fx(steps.backward if is_backward else steps.forward, tracing_mode='symbolic')(
            *_examples(node, steps.numbers, x, grad, affine_dtype))
    if not is_backward:
        _check_elementwise(graph)
    return graph


class _Steps:
    """What :func:`trace` traces.

    Attributes:
        numbers: How many of the tensors after the inputs are affine, outs, carried and the node's.
    """

    def __init__(self, node: nn.Module, is_backward: bool, outs: int, has_affine: bool, carries: int) -> None:
        self.names = [f'node.{name}' for name in tensors_of(node)]
        self.definition, self.carries = _Definition(node), carries
        self.numbers = 2 * has_affine, outs, carries * (2 if is_backward else 1), len(self.names)

    def forward(self, x: Tensor, *values: Tensor) -> List[Tensor]:
        affine, outs, v, values = _split(values, self.numbers)
        spikes, v = self._run(_current(x, *affine).unbind(), v, values)
        for out, spike in zip(outs, spikes):
            out.copy_(spike)
        return v[:self.carries]

    def backward(self, x: Tensor, grad: Tensor, *values: Tensor) -> List[Optional[Tensor]]:
        affine, outs, carried, values = _split(values, self.numbers)
        current = _current(x, *affine)
        # A parameter of one number is spread, so that its gradient is summed once, at the end, and in the same pass.
        spread = [value.expand(current.shape[1:]) for value in values]
        before, grads_after = carried[:self.carries], carried[self.carries:]
        inputs = [value.detach() for value in (*current.unbind(), *before, *spread)]
        numbers = current.shape[0], len(before), len(values)
        floating = [value.requires_grad_() for value in inputs if value.is_floating_point()]
        with torch.enable_grad():
            spikes, v = self._run(*_split(inputs, numbers))
            grads = iter(torch.autograd.grad((*spikes, *v[:self.carries]), floating,
                                             (*grad.to(spikes[0].dtype).unbind(), *grads_after), allow_unused=True))
        grads = [next(grads) if value.is_floating_point() else None for value in inputs]
        grads_x, grad_v, grads = _split(grads, numbers)
        if len(outs) < len(grads_x):
            grads_x = [reduce(torch.add, grads_x)]
        for out, grad in zip(outs, grads_x):
            out.copy_(grad)
        grad_v = [torch.zeros_like(state) if grad is None else grad for grad, state in zip(grad_v, before)]
        return [*grad_v, *(grad.sum().reshape(value.shape) if grad is not None and value.numel() == 1 else grad
                           for grad, value in zip(grads, values))]

    def _run(self, currents: Sequence[Tensor], v: Sequence[Tensor], values: Sequence[Tensor]
             ) -> Tuple[List[Tensor], Sequence[Tensor]]:
        before = v[0] if len(v) == 1 else tuple(v) or None
        spikes, v = functional_call(self.definition, dict(zip(self.names, values)), (currents, before))
        if spikes[0].shape != currents[0].shape:
            raise ValueError(f'a step turns {tuple(currents[0].shape)} into {tuple(spikes[0].shape)}')
        return spikes, states_of(v)


def _split(values: Sequence[Optional[Tensor]], numbers: Sequence[int]) -> List[List[Optional[Tensor]]]:
    """As many of the values as each number says, one list after the other."""
    values = iter(values)
    return [[next(values) for _ in range(number)] for number in numbers]


def _examples(node: nn.Module, numbers: Sequence[int], x: Tensor, grad: Optional[Tensor],
              affine_dtype: Optional[torch.dtype]) -> List[Tensor]:
    """Tensors to trace with; their sizes are neither equal nor 0 or 1, so that none is taken for a constant."""
    step = tuple(range(11, 10 + x.dim()))
    all_steps = x.shape[0], *step
    membrane = torch.promote_types(x.dtype if affine_dtype is None else affine_dtype, torch.float32)
    wanted = [(t.dtype, all_steps) for t in (x, grad) if t is not None]
    for kind, number in zip(((affine_dtype, all_steps), (x.dtype, step), (membrane, step)), numbers):
        wanted += [kind] * number
    examples = [torch.zeros(shape, dtype=dtype, device=x.device) for dtype, shape in wanted]
    return examples + [t.detach() if t.numel() == 1 else torch.zeros(step, dtype=t.dtype, device=x.device)
                       for t in tensors_of(node).values()]


def _current(x: Tensor, scale: Optional[Tensor] = None, shift: Optional[Tensor] = None) -> Tensor:
    return x if scale is None else x * scale + shift


def _check_elementwise(graph: nn.Module) -> None:
    """Axes are merged before a graph runs, so anything that looks at them would be computed wrongly."""
    for call in graph.graph.nodes:
        if call.op == 'call_function' and isinstance(call.target, torch._ops.OpOverload):
            name = call.target.overloadpacket.__name__
            if torch.Tag.pointwise not in call.target.tags and name not in OTHER_OPERATIONS:
                raise NotTraceableError(f'{name} is no operation on each number by itself')
