"""A network step by step gives what it gives at once."""
import copy

import pytest
import torch
from own_neurons import Lifted
from torch._subclasses.fake_tensor import FakeTensorMode

import golden
from bkdsnn.models import SpikingNode, Stream
from bkdsnn.models.neurons import StepNode
from bkdsnn.models.neurons.base import going_on
from bkdsnn.registry import MODELS
from helpers import tiny_student

LIF = dict(golden.IF, type='LIFNode', tau=2.0, decay_input=True, v_threshold=0.3)
TRANSFORMER = dict(type='SpikingClassifier',
                   backbone=dict(type='QKFormer', arch=dict(depths=(1, 1, 1), channels=32, num_heads=4, patch_size=4),
                                 T=4, neuron=LIF, in_channels=2),
                   head=dict(type='SpikingLinearHead', num_classes=10, in_channels=32, neuron=LIF))


@pytest.mark.parametrize('cfg', [tiny_student(neuron=LIF, in_channels=2), TRANSFORMER], ids=['sew', 'qkformer'])
def test_steps_give_the_logits_of_one_call(cfg):
    model = MODELS.build(cfg).double()
    frames = torch.rand(3, 4, 2, 16, 16, dtype=torch.double) * 4
    for _ in range(20):
        model(frames)  # running statistics with which neurons fire
    model.eval()
    stream = Stream(model)
    steps = torch.stack([stream.step(frame) for frame in frames.unbind(1)])
    want = model(frames)
    assert want.std() > 0 and not torch.equal(want[0], want[1])
    torch.testing.assert_close(steps, want)


def test_static_image_is_shown_anew_each_step():
    model = MODELS.build(tiny_student(T=3)).eval()
    image = torch.randn(2, 1, 8, 8)
    stream = Stream(model)
    torch.testing.assert_close(torch.stack([stream.step(image) for _ in range(3)]), model(image))


def test_samples_that_are_done_leave_the_batch():
    model = MODELS.build(tiny_student(neuron=LIF)).eval()
    frames = torch.randn(4, 3, 1, 8, 8) * 3
    stream = Stream(model)
    stream.step(frames[:, 0])
    stream.keep(torch.tensor([True, False, True, False]))
    torch.testing.assert_close(stream.step(frames[::2, 1]), model(frames)[1, ::2])


def test_streams_leave_the_network_as_it_was_and_do_not_mix():
    model = MODELS.build(tiny_student(neuron=LIF)).eval()
    frames = torch.randn(2, 2, 1, 8, 8) * 3
    want = model(frames)
    a, b = Stream(model), Stream(model)
    a.step(frames[:1, 0])
    b.step(frames[1:, 0])
    torch.testing.assert_close(model(frames), want)
    torch.testing.assert_close(a.step(frames[:1, 1]), want[1, :1])
    torch.testing.assert_close(b.step(frames[1:, 1]), want[1, 1:])
    a.reset()
    torch.testing.assert_close(a.step(frames[:1, 0]), want[0, :1])
    copy.deepcopy(model)


def test_membranes_are_named_by_path():
    model = MODELS.build(tiny_student()).eval()
    stream = Stream(model)
    assert stream.membranes == {}
    stream.step(torch.randn(2, 1, 8, 8))
    assert stream.membranes['backbone.layer2.0.unit2.neuron'].shape == (2, 8, 4, 4)
    assert set(stream.membranes) == set(stream.nodes)


def test_what_cannot_run_by_steps_is_an_error():
    with pytest.raises(ValueError, match='model.eval'):
        Stream(MODELS.build(tiny_student()))
    with pytest.raises(ValueError, match='no spiking neuron'):
        Stream(torch.nn.Linear(2, 2).eval())


def test_a_neuron_of_ones_own_streams_if_it_has_a_step_that_begins_at_rest():

    class Whole(SpikingNode):
        def forward(self, x):
            return (x.cumsum(0) > 1).to(x.dtype)

    class Both(Whole):
        def step(self, x, v=None):
            return self(x[None])[0], v

    class Rested(Lifted):
        def rest(self, x):
            return torch.full_like(x, 0.4)

    def student(node):
        model = MODELS.build(tiny_student()).eval()
        model.backbone.stem.neuron = node
        return model

    class Other(Lifted):
        def forward(self, x):
            return (x.cumsum(0) > 1).to(x.dtype)

    assert Lifted().streams
    for node in (Whole(), Both(), Other()):
        with pytest.raises(TypeError, match=rf'\({type(node).__name__}\) does not run step by step: its forward sees'):
            Stream(student(node))
    frames = torch.randn(2, 3, 1, 8, 8) * 2
    with pytest.raises(ValueError, match=r'Lifted.step begins elsewhere .* let rest\(x\) return that state'):
        Stream(student(Lifted())).step(frames[:, 0])
    model = student(Rested())
    stream = Stream(model)
    with torch.no_grad():
        steps = torch.stack([stream.step(frame) for frame in frames.unbind(1)])
        torch.testing.assert_close(steps, model(frames))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('noise', [0.0, 0.1])
def test_a_step_that_begins_at_zeros_needs_no_rest(dtype, noise):
    """Whatever it draws, and in half precision, where zeros of its own are of the currents' kind."""
    class Own(StepNode):
        def step(self, x, v=None):
            v = torch.zeros_like(x) if v is None else v
            h = v + (x - v) / 3 + noise * torch.randn_like(x)
            spike = (h >= 0.5).to(x.dtype)
            return spike, h * (1 - spike)

    x = torch.randn(4, 5, dtype=dtype)
    torch.manual_seed(1)
    with going_on([node := Own()], {}):
        node(x[:2])
        drawn = torch.rand(1)
        node(x[2:])
    torch.manual_seed(1)
    Own()(x[:2])
    assert torch.equal(torch.rand(1), drawn)
    for other in (x.to('meta'), FakeTensorMode().from_tensor(x)):
        with going_on([node := Own()], {}):
            assert node(other).shape == x.shape


def test_error_in_a_step_leaves_nothing_behind():
    model = MODELS.build(tiny_student()).eval()
    want = model(torch.ones(1, 1, 8, 8))
    stream = Stream(model)
    with pytest.raises(RuntimeError):
        stream.step(torch.ones(1, 3, 8, 8))
    torch.testing.assert_close(model(torch.ones(1, 1, 8, 8)), want)
