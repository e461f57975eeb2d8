"""Compiled neurons (Triton) against the eager ones.

A membrane next to its threshold may spike in one order of sums and not in another. So inputs are multiples of 1/16,
which bf16 holds, and constants are powers of two: membranes are then exact in fp32, fused multiplications or not, those
at a threshold too. Of neurons whose membranes are not (CLIF), inputs that bring one near its threshold are set to 0.
"""
import pytest
import torch

from bkdsnn.models.layers import channels_last
from bkdsnn.models.neurons import kernels
from on_gpu import assert_near, assert_same_spikes, build, distances, run

COMMON = dict(v_threshold=1.0, v_reset=0.0, detach_reset=False, surrogate=dict(type='Sigmoid', alpha=4.0))
IF = dict(COMMON, type='IFNode')
LIF = dict(COMMON, type='LIFNode', tau=2.0, decay_input=True)
PLIF = dict(LIF, type='ParametricLIFNode')  # sigmoid(0) is 1/2
SURROGATES = ('PiecewiseQuadratic', 'SoftSign', 'Triangular')  # beside those of the other cases
CASES = {
    'IF': IF, 'IF-soft': dict(IF, v_reset=None, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0)),
    'LIF': LIF, 'LIF-low': dict(LIF, v_reset=-0.25, decay_input=False, surrogate=dict(type='Rectangular', alpha=1.0)),
    'LIF-strict': dict(LIF, strict=True), 'PLIF': PLIF,
    'CLIF': dict(type='CLIFNode', tau=2.0, v_threshold=1.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
    'ILIF': dict(type='ILIFNode', D=4, decay=0.25), 'ILIF-up': dict(type='ILIFNode', D=4, decay=0.25, half_up=True),
    'SFA': dict(type='SFANode', D=4, norm=4.0), 'NILIF': dict(type='NILIFNode', D=4),
    **{name: dict(IF, surrogate=dict(type=name, alpha=1.0)) for name in SURROGATES}}
HALVES = {torch.bfloat16: ('IF', 'LIF', 'PLIF', 'CLIF', 'ILIF', 'SFA'), torch.float16: ('LIF', 'ILIF')}
KINDS = [(name, torch.float32) for name in CASES] + [(name, dtype) for dtype in HALVES for name in HALVES[dtype]]
# Steps of the first begin at addresses that are no multiples of 16.
SHAPES = ((3, 5, 7, 9), (2, 8, 4, 4))


def grid(*shape, seed=0):
    """Multiples of 1/16 from -4 to 4, and a gradient."""
    generator = torch.Generator().manual_seed(seed)
    x, grad = torch.randint(-64, 65, shape, generator=generator), torch.randn(shape, generator=generator)
    return x.cuda() / 16, grad.cuda()


def check(cfg, x, grad, what):
    """Of the compiled neuron all is what the eager one finds in fp64."""
    if cfg['type'] == 'CLIFNode':
        far = distances(build(cfg, 'eager'), x.double()).amin(0) > 1e-3
        assert far.double().mean() > 0.9, f'{what}: of {far.double().mean():.3f} of the inputs no membrane is near'
        x = x * far
    want = run(build(cfg, 'eager').double(), x.double(), grad.double())
    got, eager = (run(build(cfg, backend), x, grad) for backend in ('compile', 'eager'))
    rate = want[0].double().mean().item()
    assert 0.02 < rate < 3, f'{what}: the firing rate {rate:.3f} tells nothing'
    assert got[0].dtype == got[1].dtype == x.dtype
    assert got[0].stride() == x.stride(), f'{what}: strides {got[0].stride()} of spikes, {x.stride()} of the input'
    relative = 0.0 if x.dtype is torch.float32 else torch.finfo(x.dtype).eps  # the gradient is rounded once
    for backend, found in (('eager', eager), ('compiled', got)):
        assert_same_spikes(found[0], want[0], f'{what}, {backend}')
        assert_near(found[1], want[1], 1e-5, f'{what}, {backend}, gradient of the input', relative)
        for own, other in zip(found[2:], want[2:]):
            # Sums over all neurons of numbers of both signs.
            allowed = 1e-6 * x.numel() * want[1].abs().max().item() / other.abs().max().item()
            assert_near(own, other, allowed, f'{what}, {backend}, gradient of a parameter')


@pytest.mark.parametrize('name, dtype', KINDS, ids=lambda value: str(value).removeprefix('torch.'))
def test_kernels_are_the_eager_neuron(name, dtype):
    """More steps take longer to compile."""
    steps = 4 if dtype is torch.float32 and name not in SURROGATES else 2
    for shape in SHAPES:
        x, grad = (tensor.to(dtype) for tensor in grid(steps, *shape))
        check(CASES[name], x, grad, f'{name}, {dtype}, {shape}')
        check(CASES[name], channels_last(x), channels_last(grad), f'{name}, {dtype}, {shape}, channels last')


@pytest.mark.parametrize('layout', ['mixed', 'slice', 'expanded'])
def test_other_layouts_are_not_copied(layout):
    x, grad = grid(2, 3, 5, 7, 10)
    if layout == 'mixed':
        grad = channels_last(grad)
    elif layout == 'slice':
        x, grad = x[..., 1:], grad[..., 1:]
    else:
        x = x[:1].expand_as(x)
    want = run(build(LIF, 'eager').double(), x.double(), grad.double())
    got = run(build(LIF, 'compile'), x, grad)
    assert_same_spikes(got[0], want[0], layout)
    assert_near(got[1], want[1], 1e-5, f'{layout}, gradient of the input')


@pytest.mark.parametrize('name', ['LIF', 'PLIF'])
def test_many_steps_in_pieces(name):
    check(CASES[name], *grid(8, 2, 3, 5, 7), f'{name}, T=8')


def test_maps_as_in_imagenets_first_stage():
    """Many blocks of threads."""
    x, grad = grid(4, 8, 64, 56, 56)
    check(LIF, x, grad, 'LIF, (4, 8, 64, 56, 56)')


def test_auto_compiles_and_says_so(monkeypatch):
    """Inputs of any size; a compiler that fails would be eager, without an error."""
    monkeypatch.setattr(kernels, '_kernels', {})
    x, grad = grid(2, 3, 4, 5)
    run(build(IF, 'auto'), x, grad)
    used = list(kernels._kernels.values())
    assert [kernel.device for kernel in used] == ['cuda'] * 2, f'kernels: {[kernel.what for kernel in used]}'
    assert all(kernel.run is not kernel.graph for kernel in used), f'not compiled: {kernels.why_not("cuda")}'


def test_nothing_but_the_input_is_kept():
    """A block of the allocator may be larger by a MiB than what is asked for."""
    x = torch.randn(4, 16, 64, 32, 32, device='cuda').requires_grad_()
    kept = {}
    for backend in ('compile', 'eager'):
        node = build(IF, backend)
        node(x)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        spikes = node(x)
        kept[backend] = torch.cuda.memory_allocated() - before - spikes.nbytes
        del spikes
    print(f'kept beside an input of {x.nbytes} bytes: {kept}')
    assert kept['compile'] <= 2**21 and kept['eager'] >= x.nbytes, kept


UNCOMPILED = [
    dict(type='GLIFNode', T=4, surrogate=dict(type='Sigmoid', alpha=4.0), channels=5),
    dict(type='PSNNode', T=4, surrogate=dict(type='ATan', alpha=2.0)),
    dict(type='MaskedPSNNode', T=4, k=2, mask=0.5, surrogate=dict(type='ATan', alpha=2.0)),
    dict(type='SlidingPSNNode', k=2, surrogate=dict(type='ATan', alpha=2.0))]


@pytest.mark.parametrize('cfg', [*CASES.values(), *UNCOMPILED], ids=[*CASES, *(cfg['type'] for cfg in UNCOMPILED)])
def test_eager_neurons_are_those_of_a_cpu(cfg):
    """In fp64, with random numbers, of which none is next to a threshold."""
    torch.manual_seed(0)
    node = build(cfg, 'eager').double()
    x, grad = torch.randn(2, 4, 3, 5, 7, 9, dtype=torch.float64, device='cuda').unbind()
    for layout, (a, b) in dict(contiguous=(x, grad), channels_last=(channels_last(x), channels_last(grad))).items():
        got = run(node.cuda(), a * 2, b)
        want = run(node.cpu(), 2 * a.cpu(), b.cpu())
        assert_same_spikes(got[0], want[0], layout)
        for own, other in zip(got[1:], want[1:]):
            assert_near(own, other, 1e-9, f'{layout}, gradient')
