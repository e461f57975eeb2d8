"""Compiled neurons against the eager ones, and what happens where nothing can be compiled."""
import contextlib
import copy
import errno
import gc
import logging
import os
import re
import subprocess
import sys
import weakref
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from own_neurons import Lifted
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from torch._inductor import cpp_builder, cpu_vec_isa
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from bkdsnn.apis.cli import build_checked_runner
from bkdsnn.models.layers import expand_time
from bkdsnn.models.neurons import BaseNode, IFNode, compiled, kernels, nodes
from bkdsnn.models.neurons.base import going_on
from bkdsnn.models.neurons.compiled import merge_axes
from bkdsnn.models.neurons.kernels import trace
from bkdsnn.models.teachers import FrozenTeacher
from bkdsnn.registry import MODELS, SURROGATES
from bkdsnn.utils import log_once
from bkdsnn.utils.out_of_memory import find_memory_error
from helpers import demo_config, tiny_cnn

COMMON = dict(v_threshold=1.0, v_reset=0.0, detach_reset=False, surrogate=dict(type='Sigmoid', alpha=4.0))
IF = dict(COMMON, type='IFNode')
LIF = dict(COMMON, type='LIFNode', tau=2.0, decay_input=True)
PLIF = dict(LIF, type='ParametricLIFNode', tau=1.75)


def build(cfg, backend):
    return MODELS.build(dict(cfg, backend=backend))


def run(node, x, grad):
    """Spikes, and gradients of the input and all parameters."""
    x = x.detach().requires_grad_()
    spikes = node(x)
    return [spikes.detach(), *torch.autograd.grad(spikes, [x, *node.parameters()], grad)]


def assert_equal(got, want, rtol=1e-6):
    assert torch.equal(got[0], want[0])
    for a, b in zip(got[1:], want[1:]):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * b.abs().max().item())


def inputs(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return ((torch.randn(shape, generator=generator) * 2).to(dtype),
            torch.randn(shape, generator=generator).to(dtype))


@settings(max_examples=8)
@given(cfg=st.sampled_from([IF, LIF, PLIF]), v_reset=st.sampled_from([0.0, -0.3, 0.2, None]),
       v_threshold=st.sampled_from([0.5, 1.0]), detach_reset=st.booleans(), decay_input=st.booleans(),
       surrogate=st.sampled_from(sorted(SURROGATES.module_dict)), time_steps=st.integers(1, 6),
       seed=st.integers(0, 2**31))
def test_traced_graphs_are_the_eager_neuron(cfg, v_reset, v_threshold, detach_reset, decay_input, surrogate,
                                            time_steps, seed):
    cfg = dict(cfg, v_reset=v_reset, v_threshold=v_threshold, detach_reset=detach_reset,
               surrogate=dict(type=surrogate, alpha=1.5))
    if cfg['type'] != 'IFNode':
        cfg['decay_input'] = decay_input
    node = build(cfg, 'eager').double()
    x, grad = inputs(time_steps, 7, seed=seed, dtype=torch.float64)
    values = [p.detach() for p in node.parameters()]
    forward, backward = trace(node, False, x), trace(node, True, x, grad)
    want = run(node, x, grad)
    spikes, grad_x = torch.empty_like(x), torch.empty_like(x)
    forward(x, *spikes, *values)
    grads = backward(x, grad, *grad_x, *values)
    assert_equal([spikes, grad_x, *grads], want, rtol=1e-12)


@pytest.mark.parametrize('cfg', [
    IF, PLIF, dict(IF, v_reset=None, detach_reset=True),
    *(dict(LIF, v_reset=-0.1, decay_input=False, surrogate=dict(type=name, alpha=1.5))
      for name in sorted(SURROGATES.module_dict))], ids=lambda cfg: f"{cfg['type']}-{cfg['surrogate']['type']}")
def test_compiled_equals_eager(cfg):
    x, grad = inputs(3, 2, 5, 7, 9)
    want = [t.float() for t in run(build(cfg, 'eager').double(), x.double(), grad.double())]
    got, eager = run(build(cfg, 'compile'), x, grad), run(build(cfg, 'eager'), x, grad)
    assert_equal(got, eager)
    # float64 where the membrane is not at a threshold within fp32's rounding
    assert (got[0] != want[0]).float().mean() < 1e-3


@pytest.mark.parametrize('goes_on', [False, True])
@pytest.mark.parametrize('time_steps', [2, 4, 6])
@pytest.mark.parametrize('cfg', [IF, PLIF], ids=lambda cfg: cfg['type'])
def test_gradient_of_an_image_is_summed_over_time_in_the_same_pass(cfg, time_steps, goes_on, monkeypatch):
    written, results = [], []
    make = compiled.kernel_of
    monkeypatch.setattr(compiled, 'kernel_of', lambda *args, **kwargs: written.append(kwargs['sums_steps'])
                        or make(*args, **kwargs))
    x, grad = inputs(time_steps, 3, 4, 5, 6, dtype=torch.float64)
    x, grad = (t.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) for t in (x, grad))
    for backend in ('compile', 'eager'):
        node, image = build(cfg, backend).double(), x[:1].detach().requires_grad_()
        states = {node: torch.full_like(x[0], 0.3)} if goes_on else {}
        with going_on([node], states) if goes_on else contextlib.nullcontext():
            spikes = node(expand_time(image, time_steps))
        results.append([spikes.detach(), *torch.autograd.grad(spikes, [image, *node.parameters()], grad)])
    assert_equal(*results, rtol=1e-12)
    assert results[0][1].stride() == image.stride() and 0 < spikes.mean() < 1
    assert written.count(True) == written.count(False) == -(-time_steps // 4)


def test_listeners_see_an_image_in_every_step():
    node, seen = build(IF, 'compile'), []
    node.register_forward_pre_hook(lambda node, args: seen.append(args[0].shape))
    node.register_full_backward_hook(lambda node, grad_in, grad_out: seen.append(grad_in[0].shape))
    image = torch.randn(1, 2, 3, requires_grad=True)
    node(expand_time(image, 4)).sum().backward()
    assert seen == [(4, 2, 3)] * 2 and image.grad.shape == image.shape


@pytest.mark.parametrize('backend', ['compile', 'eager'])
def test_gradient_of_what_a_listener_saw_is_whole(backend):
    node, seen = build(IF, backend).double(), []
    node.register_forward_hook(lambda node, args, y: seen.append(args[0]))
    image = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    spikes = node(expand_time(image, 4))
    of_steps, = torch.autograd.grad(spikes.sum(), seen, retain_graph=True)
    of_image, = torch.autograd.grad(spikes.sum(), image)
    assert of_steps.shape == (4, 50)
    torch.testing.assert_close(of_steps.sum(0, keepdim=True), of_image)


@settings(max_examples=15)
@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
       layout=st.sampled_from(['contiguous', 'channels_last', 'slice', 'expanded', 'mixed']), seed=st.integers(0, 99))
def test_every_layout_is_computed_in_place_of_the_eager_one(shape, layout, seed):
    batch, channels, height, width = shape
    x, grad = inputs(2, batch, channels, height, width + 1, seed=seed)
    last = lambda tensor: tensor.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)  # noqa: E731
    if layout == 'channels_last':
        x, grad = last(x), last(grad)
    elif layout == 'slice':
        x, grad = x[..., 1:], grad[..., 1:]
    elif layout == 'expanded':
        x = x[:1].expand_as(x)
    elif layout == 'mixed':
        grad = last(grad)
    assert_equal(run(build(LIF, 'compile'), x, grad), run(build(LIF, 'eager'), x, grad))


@given(permutation=st.permutations([1, 2, 3]), sizes=st.tuples(*[st.integers(1, 4)] * 3), cut=st.booleans())
def test_axes_are_merged_without_a_copy_and_restored(permutation, sizes, cut):
    x = torch.arange(2 * sizes[0] * sizes[1] * sizes[2]).view(2, *sizes).permute(0, *permutation)
    if cut:
        x = x[:, :, 1:]
    (flat,), restore = merge_axes(x)
    assert torch.equal(restore(flat), x) and flat.numel() == x.numel()
    assert not x.numel() or flat.data_ptr() == x.data_ptr()
    if not cut:
        assert flat.dim() == 2


@pytest.mark.parametrize('cfg', [IF, dict(PLIF, v_reset=None)], ids=lambda cfg: cfg['type'])
@pytest.mark.parametrize('time_steps', [5, 7])
def test_many_steps_are_run_in_pieces(monkeypatch, cfg, time_steps):
    monkeypatch.setattr(compiled, 'MAX_STEPS_AT_ONCE', 3)
    x, grad = inputs(time_steps, 2, 3, 4, 5)
    for current in (x, x.transpose(2, 3).contiguous().transpose(2, 3)):
        assert_equal(run(build(cfg, 'compile'), current, grad), run(build(cfg, 'eager'), current, grad), rtol=1e-5)


def test_steps_that_go_on_from_a_state(monkeypatch):
    """Their kernels are those of pieces."""
    monkeypatch.setattr(compiled, 'MAX_STEPS_AT_ONCE', 3)
    x, grad = inputs(5, 2, 3, 4, 5)
    node = build(dict(PLIF, v_reset=None), 'compile')
    chunked = x.clone().requires_grad_()
    with going_on([node], {}):
        spikes = torch.cat([node(part) for part in chunked.split(3)])
    got = [spikes.detach(), *torch.autograd.grad(spikes, [chunked, node.w], grad)]
    assert_equal(got, run(build(dict(PLIF, v_reset=None), 'eager'), x, grad), rtol=1e-5)


def test_all_pieces_run_the_same_code():
    """Wherever they start in memory; each direction is compiled once."""
    node = build(dict(LIF, tau=3.5), 'compile')
    graphs = counters['stats']['unique_graphs']
    run(node, *inputs(12, 2, 9))
    run(node, *inputs(8, 5, 4, 3))
    x, grad = inputs(20, 7)
    run(node, x[4:], grad[4:])
    assert counters['stats']['unique_graphs'] == graphs + 2


def test_a_parameter_for_each_channel(monkeypatch):
    monkeypatch.setattr(compiled, 'MAX_STEPS_AT_ONCE', 2)

    class Channelwise(BaseNode):
        def __init__(self, channels, **kwargs):
            super().__init__(**kwargs)
            self.gain = nn.Parameter(torch.linspace(0.5, 1.5, channels).view(-1, 1, 1))
            self.tau = nn.Parameter(torch.tensor(2.0))

        def charge(self, x, v):
            return v + (self.gain * x - v) / self.tau

    x, grad = inputs(3, 2, 4, 5, 5)  # in two pieces
    for layout in (torch.contiguous_format, torch.channels_last):
        x = x.flatten(0, 1).contiguous(memory_format=layout).unflatten(0, (3, 2))
        got, want = (run(Channelwise(4, backend=backend, **COMMON), x, grad) for backend in ('compile', 'eager'))
        assert_equal(got, want, rtol=1e-5)


def test_other_shapes_do_not_compile_again():
    node = build(dict(LIF, tau=3.0), 'compile')
    for shape in ((2, 3, 4, 5), (4, 7, 6, 3)):
        run(node, *inputs(3, *shape))
    number, graphs = len(kernels._kernels), counters['stats']['unique_graphs']
    for shape in ((1, 8, 8), (5, 6), (9,), (2, 4, 16, 16)):
        run(node, *inputs(3, *shape))
    assert len(kernels._kernels) == number
    assert counters['stats']['unique_graphs'] == graphs


def test_only_the_input_is_kept_for_backward():
    kept = []
    node, (x, _) = build(PLIF, 'compile'), inputs(4, 3, 8)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        node(x.requires_grad_())
    assert {t.data_ptr() for t in kept} == {x.data_ptr(), node.w.data_ptr()}


def test_half_precision_has_a_membrane_in_fp32():
    x, grad = inputs(4, 6, 50, dtype=torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        got, want = (run(build(LIF, backend), x, grad) for backend in ('compile', 'eager'))
    assert got[0].dtype == got[1].dtype == torch.bfloat16
    assert torch.equal(got[0], want[0]) and torch.equal(got[0].float(), build(LIF, 'eager')(x.float()))
    # eager adds gradients in bf16, in the order of autograd
    torch.testing.assert_close(got[1], want[1], rtol=1e-2, atol=1e-2)


def test_a_neuron_of_ones_own_is_compiled_from_its_charge():
    class Adaptive(BaseNode):
        def __init__(self, scale, **kwargs):
            super().__init__(**kwargs)
            self.scale, self.gain = scale, nn.Parameter(torch.tensor(0.7))
            self.register_buffer('offset', torch.tensor(0.1))

        def charge(self, x, v):
            return torch.tanh(v) * self.gain + self.scale * x + self.offset

    for scale in (1.0, 2.0):  # constants of a node are part of its code
        eager, fast = (Adaptive(scale, backend=backend, **COMMON) for backend in ('eager', 'compile'))
        x, grad = inputs(3, 40)
        assert_equal(run(copy.deepcopy(fast), x, grad), run(eager, x, grad), rtol=1e-5)
    fast.load_state_dict(dict(fast.state_dict(), offset=torch.tensor(-0.4)))
    eager.load_state_dict(fast.state_dict())
    assert_equal(run(fast, x, grad), run(eager, x, grad), rtol=1e-5)


def test_all_that_a_neurons_code_depends_on_tells_kernels_apart():
    """Graphs are compared, which are compiled elsewhere."""
    class Own(IFNode):
        def __init__(self, gain, act, dropped=0.0):
            super().__init__(**COMMON)
            self._gain, self.act, self.dropped = gain, act, dropped

        def charge(self, x, v):
            return v + self.act(x) * self._gain * (1 - self.dropped * self.training)

    x = torch.randn(3, 8, dtype=torch.double) * 2
    own = [Own(0.5, nn.LeakyReLU(0.1)), Own(2.0, nn.LeakyReLU(0.1)), Own(0.5, nn.LeakyReLU(0.9)),
           Own(0.5, nn.LeakyReLU(0.1), 0.9), Own(0.5, nn.LeakyReLU(0.1), 0.9).eval()]
    found = [kernels.kernel_of(node, False, True, x) for node in own]
    assert len(set(map(id, found))) == len(found) and found[0] is kernels.kernel_of(
        Own(0.5, nn.LeakyReLU(0.1)), False, True, x)
    for node, kernel in zip(own, found):
        outs = [torch.empty(8, dtype=torch.double) for _ in x]
        kernel.graph(x, *outs)
        assert torch.equal(torch.stack(outs), node(x, 'eager'))
    with pytest.raises(TypeError, match='Own._gain is a Tensor'):
        kernels.kernel_of(Own(torch.tensor(0.5), nn.LeakyReLU(0.1)), False, True, x)


def test_what_cannot_be_compiled_runs_eagerly_or_says_why(monkeypatch):
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 1)
    monkeypatch.setattr(nodes, 'why_not', lambda device: None)

    class Wide(IFNode):
        """Its values for the channels have one axis, and not those of a map."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 3))

        def charge(self, x, v):
            return v + x * self.gain.view(-1, 1, 1)

    x = torch.randn(6, 2, 3, 4, 4)  # in two pieces
    for make, reason in ((partial(Wide, **COMMON), 'do not broadcast'), (Lifted, 'step begins elsewhere')):
        want = make(backend='eager')(x)
        assert torch.equal(make(backend='auto')(x), want)
        with pytest.raises(TypeError, match=reason):
            make(backend='compile')(x)


def test_a_backend_that_is_named_in_a_call_exists():
    node, (x, _) = build(LIF, 'eager'), inputs(3, 4)
    assert torch.equal(node(x, 'eager'), node(x))
    with pytest.raises(ValueError, match="backend='triton' is unknown"):
        node(x, backend='triton')


def test_a_model_compiled_as_a_whole_holds_the_eager_steps():
    x, _ = inputs(3, 40)
    net = torch.compile(nn.Sequential(build(LIF, 'compile'), build(IF, 'auto')), backend='aot_eager', fullgraph=True)
    eager = nn.Sequential(build(LIF, 'eager'), build(IF, 'eager'))
    assert torch.equal(net(x), eager(x))


# ---- the choice of 'auto', and machines that cannot compile ----

@pytest.fixture
def messages(monkeypatch):
    """Lines of the log, as in a fresh process."""
    monkeypatch.setattr(log_once, '_said', set())
    monkeypatch.setattr(kernels, '_problems', {})
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(lambda record: record.getMessage().startswith('Neurons:'))
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def small_inputs_too(monkeypatch):
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 10)


def test_auto_compiles_large_inputs_only(messages, monkeypatch):
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 2**18)
    node = build(LIF, 'auto')
    node(torch.zeros(2, 3))
    assert messages == [
        f"Neurons: backend='auto' chose 'eager' on cpu, for inputs of fewer than {2**18} numbers."]
    node(torch.zeros(2, 2**17))
    node(torch.zeros(2, 2**17))
    assert messages[1] == "Neurons: backend='auto' chose 'compile' on cpu, for larger inputs."
    assert all(' compiled LIFNode' in line for line in messages[2:])


def test_auto_compiles_any_number_of_time_steps(messages, small_inputs_too):
    build(LIF, 'auto')(torch.zeros(12, 300))
    assert messages[0] == "Neurons: backend='auto' chose 'compile' on cpu, for larger inputs."
    assert re.fullmatch(r'Neurons: compiled LIFNode forward, T=4 of more, float32, cpu in .* s\.', messages[1])


def test_without_a_compiler_auto_is_eager_and_compile_an_error(messages, small_inputs_too, monkeypatch):
    monkeypatch.setattr(kernels, '_missing_compiler', lambda device: 'there is no C++ compiler')
    node = build(LIF, 'auto')
    x, grad = inputs(3, 40)
    for _ in range(2):
        assert_equal(run(node, x, grad), run(build(LIF, 'eager'), x, grad))
    assert messages == ["Neurons: backend='auto' chose 'eager' on cpu, since there is no C++ compiler."]
    with pytest.raises(ValueError, match="backend='compile' cannot be used: there is no C\\+\\+ compiler"):
        build(LIF, 'compile')


def test_a_missing_compiler_is_noticed(messages, monkeypatch):
    from torch._inductor import cpp_builder, exc
    monkeypatch.setattr(cpp_builder, 'get_cpp_compiler', lambda: (_ for _ in ()).throw(exc.InvalidCxxCompiler()))
    assert 'install g++' in kernels.why_not('cpu')


@pytest.mark.parametrize('at', [1, 2], ids=['forward', 'backward'])
def test_a_failing_compiler(messages, small_inputs_too, monkeypatch, at):
    def compile_or_fail(graph, **options):
        calls.append(graph)
        if len(calls) < at:
            return graph

        def fail(*tensors):
            raise OSError('no space left on device')
        return fail

    kernels._kernels.clear()
    monkeypatch.setattr(torch, 'compile', compile_or_fail)
    x, grad = inputs(3, 40)
    calls = []
    assert_equal(run(build(LIF, 'auto'), x, grad), run(build(LIF, 'eager'), x, grad))
    assert len([line for line in messages if "goes on with 'eager'" in line and 'no space left' in line]) == 1
    kernels._problems.clear()
    kernels._kernels.clear()
    calls = []
    with pytest.raises(RuntimeError, match="backend='compile' failed for LIFNode .*no space.*backend='eager'"):
        run(build(LIF, 'compile'), x, grad)
    kernels._kernels.clear()


OUT_OF_MEMORY = dict(
    gpu=torch.OutOfMemoryError('CUDA out of memory.'), python=MemoryError(),
    allocator=RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    fork=OSError(errno.ENOMEM, 'Cannot allocate memory'),
    driver=RuntimeError('CUDA error: out of memory'))


@pytest.mark.parametrize('backend', ['auto', 'compile'])
@pytest.mark.parametrize('error', [*OUT_OF_MEMORY, 'in the compiler'])
def test_a_lack_of_memory_says_nothing_of_the_compiler(messages, small_inputs_too, monkeypatch, backend, error):
    """It passes through, and the next call runs compiled."""
    want = OUT_OF_MEMORY.get(error, OUT_OF_MEMORY['gpu'])
    raised = BackendCompilerFailed(None, want, None) if error == 'in the compiler' else want

    def compile_and_run_out(graph, **options):
        def run(*tensors):
            if not calls:
                calls.append('failed')
                raise raised
            calls.append('ran')
            return graph(*tensors)
        return run

    calls = []
    monkeypatch.setattr(kernels, '_kernels', {})
    monkeypatch.setattr(torch, 'compile', compile_and_run_out)
    node, (x, _) = build(LIF, backend), inputs(3, 40)
    with pytest.raises(type(want)) as got:
        node(x)
    assert got.value is want and kernels.why_not('cpu') is None
    assert torch.equal(node(x), build(LIF, 'eager')(x)) and calls == ['failed', 'ran']
    assert not any('failed' in line for line in messages)


def test_a_dry_run_compiles_nothing_and_leaves_it_for_later(messages, small_inputs_too, monkeypatch):
    node, x = build(LIF, 'auto'), torch.rand(2, 3, 4)
    monkeypatch.setattr(kernels, '_kernels', {})
    with torch.no_grad(), torch.compiler.set_stance('force_eager'), kernels.compiling_nothing():
        want = node(x)
    assert not any('compiled' in line for line in messages) and kernels._compiles
    assert all(kernel.run is None for kernel in kernels._kernels.values()) and kernels._kernels
    with torch.no_grad():
        assert torch.equal(node(x), want)
    assert any('compiled' in line for line in messages)


def test_a_compiler_that_fails_where_a_lack_of_memory_was_handled():
    """As in a loop that tries again with a smaller batch."""
    error = OSError('no space left on device')
    error.__context__ = torch.OutOfMemoryError('CUDA out of memory.')
    assert find_memory_error(error) is None


def test_a_lack_of_memory_while_a_neuron_is_traced(monkeypatch, small_inputs_too):
    class Greedy(IFNode):
        def charge(self, x, v):
            if failing:
                raise MemoryError
            return super().charge(x, v)

    failing = [True]
    node, (x, _) = Greedy(backend='auto', **COMMON), inputs(3, 40)
    with pytest.raises(MemoryError):
        node(x)
    failing.clear()
    kernels.kernel_of(node, False, True, x)  # is traced now


def test_types_are_told_apart():
    """Nodes of equal constants but another type have their own code."""
    class Doubled(IFNode):
        def charge(self, x, v):
            return v + 2 * x

    x, _ = inputs(3, 40)
    node = Doubled(backend='compile', **COMMON)
    assert torch.equal(build(IF, 'compile')(2 * x), node(x)) and not torch.equal(build(IF, 'compile')(x), node(x))


def test_hooks_see_tensors_and_no_traces():
    node = build(dict(IF, v_threshold=0.75), 'compile')
    seen = []
    node.register_forward_hook(lambda module, args, spikes: seen.append(spikes))
    spikes = node(inputs(3, 40)[0].requires_grad_())
    spikes.sum().backward()
    assert len(seen) == 1 and seen[0] is spikes


def test_nothing_holds_a_node():
    node = build(dict(IF, v_threshold=0.8), 'compile')
    run(node, *inputs(3, 40))
    reference = weakref.ref(node)
    del node
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize('backend', ['auto', 'compile'])
@pytest.mark.parametrize('time_steps', [3, 6])
def test_without_values_a_kernel_only_allocates_and_a_trace_is_eager(backend, time_steps, small_inputs_too):
    node, x = build(PLIF, backend), inputs(time_steps, 40)[0]
    assert build(LIF, backend)(x.to('meta')).is_meta
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x).requires_grad_()
        spikes = node(fake)
        assert spikes.shape == x.shape and spikes.dtype == x.dtype and '_Run' in type(spikes.grad_fn).__name__
        grads = torch.autograd.grad(spikes.sum(), (fake, node.w))
    assert [grad.shape for grad in grads] == [x.shape, node.w.shape]
    with torch.no_grad():
        graph = make_fx(build(IF, 'auto'), tracing_mode='fake')(x)
        assert torch.equal(graph(x), build(IF, 'eager')(x))


class DependsOnATensor(IFNode):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = torch.tensor(2.0)

    def charge(self, x, v):
        return v + self.scale * x


class DependsOnValues(IFNode):
    def charge(self, x, v):
        return v + x if x.sum() > 0 else v


class LooksAtOthers(IFNode):
    def charge(self, x, v):
        return v + x - x.mean(-1, keepdim=True)


class HasAMatrix(IFNode):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer('matrix', torch.eye(40))

    def charge(self, x, v):
        return v + x @ self.matrix


class SelectsFromAParameter(IFNode):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer('scales', torch.linspace(1, 2, 40))

    def charge(self, x, v):
        return v + x * self.scales[1]


@pytest.mark.parametrize('cls, message', [
    (DependsOnATensor, 'scale is a Tensor.*buffers'),
    (DependsOnValues, 'DependsOnValues forward.*cannot be traced'),
    (LooksAtOthers, 'mean is no operation on each number by itself'),
    (HasAMatrix, r'HasAMatrix has tensors of the shapes \[\(40, 40\)\], which do not broadcast'),
    (SelectsFromAParameter, 'select is no operation on each number by itself'),
])
def test_neurons_that_have_no_graph(messages, small_inputs_too, cls, message):
    x, grad = inputs(3, 40)
    with pytest.raises(TypeError, match=message):
        cls(backend='compile', **COMMON)(x)
    for _ in range(2):
        assert_equal(run(cls(backend='auto', **COMMON), x, grad), run(cls(backend='eager', **COMMON), x, grad))
    assert len([line for line in messages if re.search(f"{message}.* goes on with 'eager'", line)]) == 1
    kernels._kernels.clear()
    build(IF, 'auto')(x)  # others still compile
    assert 'compiled IFNode forward' in messages[-1]


@pytest.mark.parametrize('version, has_all', [('12', True), ('11.4.0', True), ('9', False), ('', False), (None, False)])
def test_only_compilers_that_have_all_instructions_are_not_asked_for_them(version, has_all, tmp_path, monkeypatch):
    compiler = tmp_path / 'compiler'
    if version is not None:
        compiler.write_text(f'#!/bin/sh\necho {version}\n')
        compiler.chmod(0o755)
    monkeypatch.setattr(cpp_builder, 'get_cpp_compiler', lambda: f'{compiler} -some-flag')
    monkeypatch.setattr(kernels.platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(cpu_vec_isa, 'pick_vec_isa', lambda: SimpleNamespace(bit_width=lambda: 256))  # asks it, too
    options = kernels.cpu_options.__wrapped__()
    assert ('cpp.vec_isa_ok' in options) == has_all and kernels.OPTIONS.items() <= options.items()
    assert options['cpp.simdlen'] == 256


def test_what_pytorch_compiles_by_itself_is_told_apart_by_its_vectors_too(tmp_path):
    bits = kernels.cpu_options()['cpp.simdlen']

    def of_a_run():
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            build_checked_runner(demo_config('plain', tmp_path, compile=True))

    for compiles in (lambda: FrozenTeacher(tiny_cnn(), compile=True), of_a_run):
        with inductor.patch({'cpp.simdlen': None}):
            compiles()
            assert inductor.cpp.simdlen == bits


def test_programs_for_longer_vectors_are_not_taken_from_a_common_folder(tmp_path):
    """PyTorch would find them there, and run loops that leave half of the numbers out."""
    code = '''
import torch
from bkdsnn.registry import MODELS

IF = dict(type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0))
torch.manual_seed(0)
x = torch.randint(-4, 5, (4, 32, 64)) / 4.0
spikes = [MODELS.build(dict(IF, backend=backend))(x) for backend in ('compile', 'eager')]
assert torch.equal(*spikes) and 0 < spikes[0].mean() < 1
print('the same')
'''
    for capability in (None, 'avx2', 'default'):
        named = {} if capability is None else dict(ATEN_CPU_CAPABILITY=capability)
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                              env=dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(tmp_path), **named))
        assert done.stdout.endswith('the same\n'), (capability, done.stderr[-2000:])
