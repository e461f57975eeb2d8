"""The network as it is exported, and its preprocessing."""
import copy

import pytest
import torch
from mmpretrain.structures import DataSample

import golden
from bkdsnn import get_model
from bkdsnn.export import Deployed
from bkdsnn.export.deployed import InferenceNode
from bkdsnn.models import EventDataPreprocessor
from bkdsnn.models.neurons import IFNode, LIFNode
from bkdsnn.registry import MODELS
from helpers import LIF, SMALL_BACKBONES, firing, small_network, tiny_student


@pytest.mark.parametrize('cfg', [golden.IF, dict(golden.IF, v_reset=None), dict(golden.IF, v_reset=-0.2), LIF,
                                 dict(LIF, v_reset=None, decay_input=False), golden.PLIF])
def test_neuron_for_inference_gives_the_same_spikes(cfg):
    node, x = MODELS.build(cfg), torch.randn(6, 5, 40) + 0.3
    spikes = InferenceNode(node)(x)
    assert torch.equal(spikes, node(x)) and 0.02 < spikes.mean() < 0.9


@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
@torch.no_grad()
def test_network_is_the_student_and_leaves_it_as_it_is(backbone):
    model, frames = small_network(backbone)
    before = copy.deepcopy(model.state_dict())
    deployed = Deployed(model)
    scores, logits = deployed(frames)
    torch.testing.assert_close(logits, model(frames), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scores, logits.mean(0).softmax(-1))
    assert all(isinstance(deployed.model.get_submodule(path), InferenceNode) for path in deployed.neurons)
    assert not any(isinstance(module, InferenceNode) for module in model.modules())
    assert model.state_dict().keys() == before.keys()
    assert all(p.requires_grad for p in model.parameters())


@MODELS.register_module()
class SlowStartNode(IFNode):

    def step(self, x, v=None):
        return super().step(x if v is not None else x / 2, v)


def test_neuron_with_steps_of_its_own_keeps_them():
    frames = torch.rand(3, 3, 2, 8, 8) * 4
    model = firing(tiny_student(neuron=dict(golden.IF, type='SlowStartNode'), in_channels=2), frames)
    deployed = Deployed(model)
    assert isinstance(deployed.model.backbone.stem.neuron, SlowStartNode)
    torch.testing.assert_close(deployed.logits(frames), model(frames))


def predicted_scores(model, inputs):
    samples = [DataSample() for _ in inputs]
    return torch.stack([s.pred_score for s in model.test_step(dict(inputs=inputs, data_samples=samples))])


@pytest.mark.parametrize('to_rgb', [False, True])
@torch.no_grad()
def test_pixels_are_normalised_as_in_a_prediction(to_rgb):
    cfg = tiny_student(in_channels=3)
    cfg['data_preprocessor'] = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 70.0], to_rgb=to_rgb)
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    model = firing(cfg, pixels.float() / 60 - 2)
    # The exported network takes the order of colours that the student was trained on.
    inputs = (pixels.flip(1) if to_rgb else pixels).float()
    torch.testing.assert_close(Deployed(model)(inputs)[0], predicted_scores(model, pixels), rtol=1e-5, atol=1e-6)
    with_mean = model.data_preprocessor(dict(inputs=pixels))['inputs']
    torch.testing.assert_close(Deployed(model, normalise=False)(with_mean)[0], predicted_scores(model, pixels))


@torch.no_grad()
def test_frames_are_averaged_and_divided_as_in_a_prediction():
    cfg = tiny_student(in_channels=2, neuron=LIF)
    cfg['data_preprocessor'] = dict(type='EventDataPreprocessor', std=2.0, size=8)
    frames = torch.poisson(torch.full((4, 3, 2, 20, 24), 2.0))
    model = firing(cfg, EventDataPreprocessor(std=2.0, size=8)(dict(inputs=frames))['inputs'])
    torch.testing.assert_close(Deployed(model)(frames)[0], predicted_scores(model, frames))


def test_preprocessing_that_cannot_be_exported_says_the_way_out():

    class OtherPreprocessor(EventDataPreprocessor):
        pass

    model = MODELS.build(tiny_student())
    model.data_preprocessor = OtherPreprocessor()
    with pytest.raises(ValueError, match='OtherPreprocessor cannot .* --no-normalise'):
        Deployed(model)
    Deployed(model, normalise=False)
    cfg = tiny_student()
    cfg['data_preprocessor'] = dict(pad_size_divisor=16)
    with pytest.raises(ValueError, match='8x24 would be padded to multiples of pad_size_divisor=16'):
        Deployed(MODELS.build(cfg))(torch.zeros(1, 1, 8, 24))


def test_network_without_time_steps_is_an_error():
    with pytest.raises(ValueError, match=r'no logits \(T, B, K\); export a spiking student'):
        Deployed(get_model('demo/teacher'))(torch.zeros(1, 1, 8, 8))


def test_neurons_are_listed_by_path():
    deployed = Deployed(MODELS.build(tiny_student(neuron=LIF)))
    assert 'backbone.layer2.0.unit2.neuron' in deployed.neurons
    assert isinstance(deployed.model.backbone.stem.neuron.node, LIFNode)
