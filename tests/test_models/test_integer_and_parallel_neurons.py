"""Integer, complementary, gated and parallel neurons beyond the recorded numbers."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode

import golden
from bkdsnn.models import Stream
from bkdsnn.models.neurons import GLIFNode, PSNNode, compiled, kernels, nodes
from bkdsnn.models.neurons.integer import to_integers, unfold_spikes
from bkdsnn.registry import MODELS
from helpers import tiny_student

ATAN, RECTANGLE = dict(type='ATan', alpha=2.0), dict(type='Rectangular', alpha=1.0)
ILIF = dict(type='ILIFNode', D=4, decay=0.25)
SFA = dict(type='SFANode', D=4, norm=4)
CLIF = dict(type='CLIFNode', tau=2.0, v_threshold=1.0, surrogate=RECTANGLE)
GLIF = dict(type='GLIFNode', T=3, surrogate=RECTANGLE)
PSN = dict(type='PSNNode', T=3, surrogate=ATAN)
MASKED = dict(PSN, type='MaskedPSNNode', k=2, mask=0.5)
SLIDING = dict(type='SlidingPSNNode', k=2, surrogate=ATAN)
STEPWISE = [ILIF, dict(ILIF, D=3, norm=2, half_up=True), SFA, dict(type='NILIFNode', D=2), CLIF,
            dict(golden.LIF, strict=True)]
ALL = [*STEPWISE, GLIF, PSN, MASKED, SLIDING]


def kind(cfg):
    return cfg['type'] + ('-' + '-'.join(key for key in ('norm', 'half_up', 'strict') if key in cfg))


def run(node, x, grad):
    """Spikes, and gradients of the input and all parameters."""
    x = x.detach().requires_grad_()
    spikes = node(x)
    return [spikes.detach(), *torch.autograd.grad(spikes, [x, *node.parameters()], grad)]


@pytest.mark.parametrize('time_steps', [3, 5])
@pytest.mark.parametrize('cfg', STEPWISE, ids=kind)
def test_compiled_equals_eager_in_one_piece_and_in_several(monkeypatch, cfg, time_steps):
    monkeypatch.setattr(compiled, 'MAX_STEPS_AT_ONCE', 3)
    x, grad = (torch.randn(time_steps, 2, 3, 4, 5, dtype=torch.float64) * 2 for _ in range(2))
    eager, fast = (run(MODELS.build(dict(cfg, backend=backend)).double(), x, grad) for backend in ('eager', 'compile'))
    assert torch.equal(fast[0], eager[0]) and eager[0].any()
    for a, b in zip(fast[1:], eager[1:]):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def assert_compiled_equals_eager(cfg, x):
    eager, fast = (MODELS.build(dict(cfg, backend=backend)).double() for backend in ('eager', 'compile'))
    fast.load_state_dict(eager.state_dict())
    grad = torch.randn_like(x)
    got, want = run(fast, x, grad), run(eager, x, grad)
    assert torch.equal(got[0], want[0]) and want[0].any()
    assert got[0].stride() == x.stride() == got[1].stride()
    for a, b in zip(got[1:], want[1:]):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('cfg', [GLIF, dict(GLIF, T=4, hard_gates=True), PSN, dict(PSN, T=2), MASKED, SLIDING,
                                 dict(SLIDING, k=4)], ids=kind)
def test_graphs_of_neurons_whose_steps_share_numbers(monkeypatch, cfg, channels_last):
    """They are run as traced; one is compiled below."""
    monkeypatch.setattr(kernels.Kernel, '__call__', lambda kernel, *tensors: kernel.graph(*tensors))
    x = torch.randn(cfg.get('T', 3), 2, 5, 4, 3, dtype=torch.float64) * 3
    assert_compiled_equals_eager(cfg, x.transpose(2, 4) if channels_last else x)


def test_a_neuron_whose_steps_share_numbers_is_compiled(monkeypatch):
    graphs = counters['stats']['unique_graphs']
    assert_compiled_equals_eager(dict(PSN, surrogate=RECTANGLE), torch.randn(3, 2, 5, 7, dtype=torch.float64) * 3)
    assert_compiled_equals_eager(dict(PSN, surrogate=RECTANGLE), torch.randn(3, 9, 4, dtype=torch.float64) * 3)
    assert counters['stats']['unique_graphs'] == graphs + 2
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 0)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(torch.randn(3, 4)).requires_grad_()
        node = MODELS.build(PSN)
        spikes = node(fake)
        grads = torch.autograd.grad(spikes.sum(), (fake, node.weight, node.bias))
    assert [spikes.shape, *(grad.shape for grad in grads)] == [fake.shape, fake.shape, (3, 3), (3, 1)]


@pytest.mark.parametrize('cls, cfg', [(GLIFNode, GLIF), (PSNNode, PSN)], ids=['glif', 'psn'])
def test_a_neuron_of_ones_own_without_a_graph_is_run_by_pytorch(monkeypatch, cls, cfg):
    """As it keeps what is no constant of a kernel; 'compile' is an error."""
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 0)
    own = type('Own', (cls, ), {})
    cfg = {key: value for key, value in cfg.items() if key != 'type'}
    node, eager, forced = (own(**cfg, backend=backend) for backend in ('auto', 'eager', 'compile'))
    for one in (node, eager, forced):
        one.load_state_dict(node.state_dict())
        one.notes = [1, 2]
    x = torch.randn(3, 2, 4) * 3
    assert torch.equal(node(x), eager(x))
    with pytest.raises(TypeError, match='Own.notes is a list'):
        forced(x)


@pytest.mark.parametrize('cfg, message', [
    (dict(PSN, T=9), "PSNNode: backend='compile' takes up to 8 time steps, .* and got T=9"),
    (dict(GLIF, T=5), "GLIFNode: backend='compile' takes up to 4 time steps, .* and got T=5"),
    (dict(GLIF, channels=2), 'GLIFNode: weights for each channel are not compiled')], ids=['psn', 'glif', 'channels'])
def test_what_is_not_compiled_is_an_error_where_it_must_be(cfg, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(cfg, backend='compile'))
    MODELS.build(dict(cfg, backend='auto'))
    with pytest.raises(ValueError, match='SlidingPSNNode: .* got T=9'):
        MODELS.build(dict(SLIDING, backend='compile'))(torch.zeros(9, 2))


@settings(max_examples=40)
@given(x=st.lists(st.floats(-3, 12) | st.integers(-2, 20).map(lambda i: i / 2), min_size=1, max_size=6),
       D=st.integers(1, 8), half_up=st.booleans())
def test_integers_are_in_range_and_unfold_into_as_many_spikes(x, D, half_up):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    integers = to_integers(x, D, half_up)
    integers.sum().backward()
    for value, got, grad in zip(x.tolist(), integers.tolist(), x.grad.tolist()):
        clamped = min(max(value, 0), D)
        assert got in range(D + 1) and abs(got - clamped) <= 0.5
        if clamped % 1 == 0.5:
            assert got == clamped + 0.5 if half_up else got % 2 == 0
        assert grad == (0 < value < D if half_up else 0 <= value <= D)
    spikes = unfold_spikes(integers.detach().view(1, -1), D)
    assert spikes.shape == (D, len(x)) and set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(spikes.sum(0), integers.detach()) and torch.equal(spikes, spikes.sort(0, descending=True)[0])


@pytest.mark.parametrize('cfg', ALL, ids=kind)
def test_calls_leave_nothing_behind_and_half_precision_is_of_the_spikes_alone(cfg):
    node, x = MODELS.build(cfg), torch.randn(3, 2, 4) * 2
    first = node(x)
    node(torch.randn(3, 5, 7))
    assert torch.equal(node(x), first)
    halves = x.bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        spikes = node(halves)
        assert spikes.dtype == torch.bfloat16 and torch.equal(spikes, node(halves.float()).bfloat16())


@pytest.mark.parametrize('cfg', [*STEPWISE, dict(SLIDING, k=1), SLIDING, dict(SLIDING, k=4)], ids=kind)
def test_steps_give_the_spikes_of_one_call(cfg):
    node = MODELS.build(cfg).double()
    x, v, spikes = torch.randn(5, 2, 3, dtype=torch.float64) * 2, None, []
    for x_t in x:
        spike, v = node.step(x_t, v)
        spikes.append(spike)
    assert torch.equal(torch.stack(spikes), node(x)) and node(x).any()


@pytest.mark.parametrize('cfg', [ILIF, SFA, CLIF, dict(SLIDING, k=3)], ids=kind)
def test_networks_stream_and_samples_leave(cfg):
    model = MODELS.build(tiny_student(neuron=cfg)).double().eval()
    frames = torch.randn(3, 4, 1, 8, 8, dtype=torch.float64) * 3
    want, stream = model(frames), Stream(model)
    torch.testing.assert_close(torch.stack([stream.step(frames[:, t]) for t in range(2)]), want[:2])
    assert bool(stream.membranes) == model.backbone.stem.neuron.has_membrane
    stream.keep(torch.tensor([True, False, True]))
    torch.testing.assert_close(stream.step(frames[::2, 2]), want[2, ::2])


@pytest.mark.parametrize('cfg', [PSN, MASKED, GLIF], ids=kind)
def test_neurons_that_do_not_stream_say_why(cfg):
    node = MODELS.build(cfg)
    assert not node.streams
    with pytest.raises(TypeError, match=f"{cfg['type']} does not run step by step: "):
        node.step(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=rf"backbone.stem.neuron \({cfg['type']}\) does not run step by step"):
        Stream(MODELS.build(tiny_student(neuron=cfg, T=3)).eval())


@pytest.mark.parametrize('cfg', [PSN, MASKED, GLIF], ids=kind)
def test_another_number_of_time_steps_than_that_of_the_weights_is_an_error(cfg):
    with pytest.raises(ValueError, match='weights for T=3 time steps and got 4'):
        MODELS.build(cfg)(torch.zeros(4, 2, 3))
    with pytest.raises(ValueError, match=rf"T=2, but {cfg['type']} has weights for T=3.*model.backbone.neuron.T"):
        MODELS.build(tiny_student(neuron=cfg, T=2))


def test_sliding_neuron_runs_with_any_number_of_time_steps():
    node, x = MODELS.build(SLIDING).double(), torch.randn(7, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(node(x)[:4], node(x[:4]))


def test_fully_masked_neuron_does_not_see_the_future():
    node, x = MODELS.build(dict(MASKED, mask=1.0)), torch.randn(3, 2, 50) * 3
    later = x.clone()
    later[2] = -later[2]
    assert torch.equal(node(x)[:2], node(later)[:2]) and not torch.equal(node(x)[2], node(later)[2])
    node.mask.fill_(0)
    assert not torch.equal(node(x)[:2], node(later)[:2])
    assert 'mask' in node.state_dict()


def test_glif_for_each_channel_wants_its_channels():
    node = MODELS.build(dict(GLIF, channels=4))
    assert node(torch.randn(3, 2, 4, 5, 5)).shape == (3, 2, 4, 5, 5)
    with pytest.raises(ValueError, match='C=4 channels and got shape'):
        node(torch.randn(3, 2, 6, 5, 5))


@pytest.mark.parametrize('cfg, wrong', [
    (ILIF, dict(D=0)), (ILIF, dict(D=2.5)), (ILIF, dict(decay=1.5)), (SFA, dict(norm=0)), (CLIF, dict(tau=0.5)),
    (CLIF, dict(v_threshold=0)), (GLIF, dict(T=0)), (GLIF, dict(gates=(0.5, 2, 0.5))), (GLIF, dict(leak=0.0)),
    (GLIF, dict(channels=0)), (PSN, dict(T=0)),
    (MASKED, dict(k=4)), (MASKED, dict(mask=1.1)), (SLIDING, dict(k=0))])
def test_arguments_out_of_range_are_named(cfg, wrong):
    with pytest.raises(ValueError, match=f"{cfg['type']}: {next(iter(wrong))}="):
        MODELS.build(dict(cfg, **wrong))
