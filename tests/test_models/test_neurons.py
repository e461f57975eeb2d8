"""Surrogates in closed form, and what neurons promise."""
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import golden
from bkdsnn.models.neurons import IFNode, LIFNode, ParametricLIFNode, Surrogate
from bkdsnn.registry import MODELS, SURROGATES

# Primitives of which each surrogate's backward must be the derivative.
PRIMITIVES = {
    'Sigmoid': lambda x, a: torch.sigmoid(a * x),
    'ATan': lambda x, a: torch.atan(math.pi / 2 * a * x) / math.pi + 0.5,
    'PiecewiseQuadratic': lambda x, a: torch.where(
        x.abs() <= 1 / a, -0.5 * a**2 * x.abs() * x + a * x + 0.5, (x > 0).to(x.dtype)),
    'Rectangular': lambda x, a: (a * x + 0.5).clamp(0, 1),
    'SoftSign': lambda x, a: 0.5 * (a * x / (1 + (a * x).abs()) + 1),
    'Triangular': lambda x, a: a * torch.where(x.abs() <= 1, x - 0.5 * x.abs() * x, 0.5 * x.sign()),
}
ALL = [
    dict(golden.IF),
    dict(golden.LIF),
    dict(golden.LIF, type='ParametricLIFNode', tau=1.75),
]


@pytest.mark.parametrize('alpha', [0.3, 1.0, 4.0])
@pytest.mark.parametrize('name', sorted(SURROGATES.module_dict))
def test_surrogate_gradient_is_the_derivative_of_its_primitive(name, alpha):
    x = torch.linspace(-2.49, 2.51, 501, dtype=torch.float64, requires_grad=True)
    spike = Surrogate(name, alpha)(x)
    assert torch.equal(spike, (x >= 0).double())
    spike.sum().backward()
    y = x.detach().clone().requires_grad_()
    PRIMITIVES[name](y, alpha).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('name', ['Sigmoid', 'ATan', 'PiecewiseQuadratic', 'Rectangular', 'SoftSign'])
def test_surrogate_has_unit_area(name):
    # A probability that moves from 0 to 1, whatever its sharpness; ATan and SoftSign have long tails.
    x = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    area = SURROGATES.get(name)(x, 2.0).sum().item() * (x[1] - x[0]).item()
    assert area == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize('bad', [dict(type='Sigmoidd', alpha=1.0), dict(type='Sigmoid', alpha=0.0)])
def test_bad_surrogate_names_the_value(bad):
    with pytest.raises(ValueError, match=f"surrogate.({'type' if bad['alpha'] else 'alpha'})="):
        Surrogate(**bad)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from([0, 1, 2]), v_reset=st.sampled_from([0.0, -0.3, 0.2, None]),
       detach_reset=st.booleans(), decay_input=st.booleans(), time_steps=st.integers(1, 6))
@example(seed=302462, kind=2, v_reset=0.0, detach_reset=False, decay_input=True, time_steps=2)
def test_neuron_equals_its_recurrence(seed, kind, v_reset, detach_reset, decay_input, time_steps):
    """Spikes and gradients against the recurrence written out with autograd, in float64."""
    cfg = dict(ALL[kind], v_reset=v_reset, detach_reset=detach_reset)
    if kind:
        cfg['decay_input'] = decay_input
    node = MODELS.build(cfg).double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(time_steps, 2, 3, generator=generator, dtype=torch.float64) * 2
    upstream = torch.randn(time_steps, 2, 3, generator=generator, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    spikes = node(a)
    (spikes * upstream).sum().backward()

    rest = 0.0 if v_reset is None else v_reset
    v, want = torch.full((2, 3), rest, dtype=torch.float64), []
    # that of the node, whose parameter was rounded to fp32
    tau = 1 / node.w.detach().sigmoid() if kind == 2 else 2.0
    for x_t in b:
        if kind == 0:
            h = v + x_t
        else:
            h = v + (x_t - (v - rest)) / tau if decay_input else v - (v - rest) / tau + x_t
        spike = node.surrogate(h - 1.0)
        gate = spike.detach() if detach_reset else spike
        v = h - gate if v_reset is None else h * (1 - gate) + rest * gate
        want.append(spike)
    want = torch.stack(want)
    (want * upstream).sum().backward()
    assert torch.equal(spikes, want)
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('cfg', ALL, ids=lambda cfg: cfg['type'])
def test_calls_start_from_rest_and_leave_nothing_behind(cfg):
    node = MODELS.build(cfg)
    x = torch.rand(4, 2, 3) * 3
    first = node(x)
    node(torch.rand(2, 5, 7))
    assert torch.equal(node(x), first)
    assert not list(node.buffers()) and set(node.state_dict()) <= {'w'}


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_membrane_is_fp32_in_half_precision(dtype):
    node = LIFNode(**{k: v for k, v in golden.LIF.items() if k != 'type'})
    x = torch.rand(3, 2, 4).to(dtype)
    # The CPU's autocast knows bf16 only.
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        spike, v = node.step(x[0])
        assert spike.dtype == dtype and v.dtype == torch.float32
        assert torch.equal(node(x).float(), node(x.float()))


@pytest.mark.parametrize('node, wrong', [
    (IFNode, dict(v_threshold=0.0)),
    (IFNode, dict(v_threshold=1.0, v_reset=1.5)),
    (LIFNode, dict(tau=0.5)),
    (ParametricLIFNode, dict(tau=1.0)),
    (IFNode, dict(backend='compiled')),
])
def test_arguments_out_of_range_are_named(node, wrong):
    cfg = dict(v_threshold=1.0, v_reset=0.0, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0))
    if node is not IFNode:
        cfg.update(tau=2.0, decay_input=True)
    cfg.update(wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        node(**cfg)


def test_no_time_step_is_an_error():
    with pytest.raises(ValueError, match='T >= 1'):
        MODELS.build(golden.IF)(torch.zeros(0, 2, 3))


def test_recipe_must_write_the_surrogate_down():
    with pytest.raises(TypeError, match='surrogate'):
        IFNode(v_threshold=1.0, v_reset=0.0, detach_reset=True)
