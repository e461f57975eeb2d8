"""Every backbone as an ANN: the same network with ``neuron=dict(type='ReLU')``."""
import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn.evaluation import measure_complexity, measure_synops
from bkdsnn.evaluation.energy import MAC_ENERGY
from bkdsnn.models import Distiller, FrozenTeacher
from bkdsnn.models.neurons import BaseNode
from bkdsnn.registry import MODELS
from helpers import LIF, SMALL_BACKBONES

RELU = dict(type='ReLU')
SHAPE = (2, 2, 32, 32)  # (T, P, H, W)


def config(backbone, relu=True):
    """A classifier of event frames whose head has a neuron too."""
    settings = SMALL_BACKBONES[backbone]
    in_channels = 16 if backbone in ('SEWResNet', 'SEWDVSNet', 'MetaSpikeFormer') else 32
    return dict(
        type='SpikingClassifier',
        backbone=dict(settings, type=backbone, in_channels=2, neuron=RELU if relu else settings['neuron']),
        head=dict(type='SpikingLinearHead', num_classes=10, in_channels=in_channels, neuron=RELU if relu else LIF))


def with_relu(module):
    """The network with its spiking neurons replaced, one by one."""
    for name, child in module.named_children():
        module.add_module(name, nn.ReLU() if isinstance(child, BaseNode) else with_relu(child))
    return module


@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
def test_twin_is_the_network_with_relu_for_its_neurons(backbone):
    twin, replaced = MODELS.build(config(backbone)).double(), with_relu(MODELS.build(config(backbone, relu=False)))
    replaced.double().load_state_dict({key: value for key, value in twin.state_dict().items()})
    assert not any(isinstance(module, BaseNode) for module in twin.modules())
    frames, labels = torch.rand(3, *SHAPE, dtype=torch.float64), [DataSample().set_gt_label(i) for i in range(3)]
    results = []
    for network in (twin, replaced):
        losses = network(frames, labels, mode='loss')
        losses['loss_cls'].backward()
        results.append([network(frames), *(parameter.grad for parameter in network.parameters())])
    assert results[0][0].shape == (2, 3, 10)
    for got, want in zip(*results):
        assert torch.equal(got, want) and want.any()


@pytest.mark.parametrize('backbone', [name for name in SMALL_BACKBONES if name != 'SEWDVSNet'])
def test_twin_takes_static_images(backbone):
    images = torch.rand(3, 2, 32, 32)
    logits = MODELS.build(config(backbone)).eval()(images)
    assert logits.shape == (2, 3, 10) and torch.equal(logits[0], logits[1])


@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
def test_twin_costs_a_multiplication_where_the_network_accumulates(backbone):
    torch.manual_seed(0)
    twin, network = (Config(dict(model=config(backbone, relu))) for relu in (True, False))
    want = measure_complexity(network, SHAPE)
    assert measure_complexity(twin, SHAPE).macs == want.macs > 0
    model = MODELS.build(twin.model)
    with torch.no_grad():
        for _ in range(10):  # statistics with which nothing is all zeros
            model(torch.rand(4, *SHAPE))
    cost = measure_synops(model.eval(), [torch.rand(2, *SHAPE)])
    assert cost.macs == want.macs and cost.energy == pytest.approx(MAC_ENERGY * want.macs)
    assert cost.synops == 0 and cost.neurons == [] and cost.time_steps is None
    assert {layer.input for layer in cost} == {'real'}


def test_twin_teaches_its_network():
    teacher = MODELS.build(config('Spikingformer'))
    model = Distiller(config('Spikingformer', relu=False), FrozenTeacher(teacher), input_shape=SHAPE, losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher='backbone', loss_weight=1e-2),
        loss_kd=dict(type='LogitsKDLoss', tau=2.0)))
    losses = model(torch.rand(3, *SHAPE), [DataSample().set_gt_label(i) for i in range(3)], mode='loss')
    model.parse_losses(losses)[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
