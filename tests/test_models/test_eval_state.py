"""A network in eval mode keeps nothing: no tensors for backward, no records, no random numbers, no memory."""
import gc

import pytest
import torch
from mmpretrain.structures import DataSample
from torch.autograd.graph import saved_tensors_hooks

from bkdsnn.models import FrozenTeacher
from bkdsnn.models.layers import fuse_conv_bn
from bkdsnn.registry import MODELS
from helpers import LIF, SMALL_BACKBONES, small_network, tiny_cnn, tiny_student


@pytest.fixture(autouse=True)
def only_new_objects():
    """What other tests have left is not looked through, which takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


def living_tensors():
    """Those that this test has made."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
def test_prediction_keeps_nothing(backbone, fused):
    drop_path = dict(drop_path=0.5) if backbone in ('Spikformer', 'Spikingformer', 'MetaSpikeFormer') else {}
    model, frames = small_network(backbone, **drop_path)
    for name, module in model.named_modules():
        if hasattr(module, 'compress_spikes'):
            module.compress_spikes(name)
    if fused:
        model = fuse_conv_bn(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random, saved = torch.get_rng_state(), []
    with torch.no_grad(), saved_tensors_hooks(saved.append, lambda x: x):
        first = model(frames)
        before = living_tensors()
        for _ in range(3):
            assert torch.equal(model(frames), first)
    assert living_tensors() <= before and not saved
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_saved_tensors_are_seen():
    model, frames = small_network('SEWResNet')
    saved = []
    with saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        model(frames)
    assert saved


def test_distiller_predicts_without_its_teacher_and_keeps_nothing_of_a_training_step():
    model = MODELS.build(dict(
        type='Distiller', student=dict(tiny_student(), compress_spikes=True),
        teacher=FrozenTeacher(tiny_cnn()),
        losses=dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=0.01))))
    images, samples = torch.randn(6, 1, 8, 8), [DataSample().set_gt_label(i) for i in range(6)]

    def step():
        model.train()
        sum(model(images, samples, 'loss').values()).backward()
        model.zero_grad()

    step()
    before = living_tensors()
    step()
    assert living_tensors() <= before
    model.eval()
    ran = []
    model.teacher.register_forward_hook(lambda *_: ran.append('teacher'))
    model.losses['loss_bkd'].register_forward_hook(lambda *_: ran.append('loss'))
    random = torch.get_rng_state()
    with torch.no_grad():
        model(images, mode='tensor')
    assert not ran and torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize('with_norm', [False, True])
def test_compiled_neuron_runs_under_inference_mode(with_norm):
    """Also on inference tensors, and with a norm whose running statistics are normal ones."""
    node, norm = MODELS.build(dict(LIF, backend='compile')).eval(), torch.nn.BatchNorm2d(3).eval()
    norm.running_mean.normal_()
    want = node(3 * (x := torch.randn(2, 2, 3, 4, 4)), backend='eager', norm=norm if with_norm else None)
    with torch.inference_mode():
        got = node(3 * x, norm=norm if with_norm else None)
        again = node(3 * x.clone(), norm=norm if with_norm else None)
    assert got.is_inference() and torch.equal(got, want) and torch.equal(again, want) and want.any()
    # The same code serves training afterwards.
    x.requires_grad_()
    node(3 * x, norm=norm if with_norm else None).sum().backward()
    assert x.grad.any()


@pytest.mark.parametrize('backbone', ['SEWResNet', 'Spikingformer'])
def test_network_runs_under_inference_mode(backbone):
    model, frames = small_network(backbone)
    want = model(frames)
    with torch.inference_mode():
        assert torch.equal(model(frames), want)
        assert torch.equal(fuse_conv_bn(model)(frames), fuse_conv_bn(model)(frames))
