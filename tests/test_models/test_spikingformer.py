"""Spikingformer beyond the recorded numbers."""
import pytest
import torch
from mmpretrain.structures import DataSample

import golden
from bkdsnn.models import Distiller, FrozenTeacher, Spikingformer
from bkdsnn.models.backbones.spikingformer import SpikingSelfAttention
from bkdsnn.registry import MODELS
from helpers import tiny_cnn

SMALL = dict(channels=16, depth=2, T=2, neuron=golden.LIF, num_heads=2, patch_size=4, in_channels=1)


@pytest.mark.parametrize('size', [(8, 8), (8, 16), (12, 4)])
@pytest.mark.parametrize('time_steps', [1, 3])
def test_any_size_and_time_steps(size, time_steps):
    """Mistake 12: square inputs and T = 4 built in."""
    (out, ) = Spikingformer(**{**SMALL, 'T': time_steps})(torch.randn(2, 1, *size))
    assert out.shape == (time_steps, 2, 16, size[0] // 4, size[1] // 4)


def test_no_parameter_is_left_without_a_gradient():
    """Mistake 13: unused layer norms break DDP."""
    net = Spikingformer(**SMALL)
    net(torch.randn(2, 1, 8, 8) * 3)[0].sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_attention_runs_once_per_block_while_features_are_recorded():
    """Mistake 7: it ran twice."""
    student = dict(type='SpikingClassifier', backbone=dict(type='Spikingformer', **SMALL),
                   head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16))
    model = Distiller(student, FrozenTeacher(tiny_cnn()), input_shape=(1, 8, 8), losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.blocks.1', teacher='fc:input', loss_weight=1e-2)))
    calls = []
    for module in model.modules():
        if isinstance(module, SpikingSelfAttention):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    losses = model(torch.randn(4, 1, 8, 8), samples, mode='loss')
    assert len(calls) == 2 and len(set(calls)) == 2
    model.parse_losses(losses)[0].backward()


@pytest.mark.parametrize('tokens', [2, 50])
def test_attention_orders_its_product_by_cost_with_equal_results(tokens):
    attention = SpikingSelfAttention(16, 2, golden.LIF, dict(type='BN')).eval()
    x = torch.randn(2, 3, 16, tokens, 1) * 3
    out = {}
    attention.project.register_forward_pre_hook(lambda _, args: out.update(got=args[0]))
    attention(x)
    spikes = attention.input_neuron(x)
    q, k, v = (unit(spikes).flatten(3).unflatten(2, (2, -1)).mT
               for unit in (attention.query, attention.key, attention.value))
    want = ((q @ k.mT) @ v * 0.125).mT.reshape(x.shape)
    torch.testing.assert_close(out['got'], want)


@pytest.mark.parametrize('wrong, named', [(dict(T=0), 'T=0'), (dict(patch_size=8), 'patch_size=8'),
                                          (dict(channels=12), 'channels=12'), (dict(num_heads=3), '3 heads'),
                                          (dict(out_indices=(2, )), 'out_indices')])
def test_bad_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named.replace('(', r'\(')):
        MODELS.build(dict(type='Spikingformer', **{**SMALL, **wrong}))


def test_size_that_is_no_multiple_of_the_patch_is_named():
    with pytest.raises(ValueError, match='10x8, which is not a multiple of patch_size=4'):
        Spikingformer(**SMALL)(torch.randn(1, 1, 10, 8))
