"""Gradient checkpointing of any part of a network: gradients, statistics and draws of a step without it."""
import copy
from functools import partial

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from bkdsnn.models import BKDLoss, Distiller, FrozenTeacher
from bkdsnn.models.layers import (
    Block,
    DropPath,
    SpikingConvUnit,
    checkpoint_blocks_in,
    compress,
    is_recomputing,
    learns_once,
)
from bkdsnn.models.layers.compress import compress_spikes_in
from bkdsnn.registry import MODELS
from helpers import ILIF_BACKBONES, LIF, SMALL_BACKBONES, small_network, tiny_cnn, tiny_student

MODES = pytest.mark.parametrize('use_reentrant', [False, True], ids=['non-reentrant', 'reentrant'])


def step(forward, module, x, seed=1):
    """Output, gradients and buffers of one training step."""
    torch.manual_seed(seed)
    x = x.clone().requires_grad_()
    y = forward(x)
    y = y[-1] if isinstance(y, tuple) else y
    generator = torch.Generator().manual_seed(2)
    y.backward(torch.randn(y.shape, dtype=y.dtype, generator=generator))
    return [y.detach(), x.grad, *(parameter.grad for parameter in module.parameters()), *module.buffers()]


def assert_same_step(module, x, use_reentrant):
    plain, again = copy.deepcopy(module), copy.deepcopy(module)
    want = step(plain, plain, x)
    got = step(partial(checkpoint, again, use_reentrant=use_reentrant), again, x)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert torch.equal(a, b)
    before = dict(module.named_buffers())
    for name, buffer in again.named_buffers():
        if name.endswith('num_batches_tracked'):
            assert buffer == before[name] + 1, name


@MODES
@pytest.mark.parametrize('backbone, compress', [*((name, False) for name in SMALL_BACKBONES),
                                                ('SEWResNet', True), ('Spikformer', True)])
def test_statistics_gradients_and_draws_are_those_of_one_pass(backbone, compress, use_reentrant):
    """Drop path is drawn once more as it was, and makes numbers of spikes that cannot be compressed."""
    changes = {}
    if backbone in ('Spikformer', 'Spikingformer'):
        changes = dict(drop_path=0.4, arch=dict(depth=2, channels=32, num_heads=4, patch_size=4))
    model, frames = small_network(backbone, **changes)
    if compress:
        compress_spikes_in(model)
    if changes:
        assert any(module.probability for module in model.modules() if isinstance(module, DropPath))
    assert_same_step(model.backbone.double().train(), frames.transpose(0, 1).double(), use_reentrant)


@MODES
@pytest.mark.parametrize('backbone', ['Spikformer', 'MetaSpikeFormer'])
def test_a_static_image_counts_its_pixels_as_without(backbone, use_reentrant):
    """The first norm runs once for all time steps, and its running variance is that of the repeated image."""
    model, frames = small_network(backbone)
    assert_same_step(model.backbone.double().train(), frames[:, 0].double(), use_reentrant)


@MODES
@pytest.mark.parametrize('norm', [dict(type='SyncBN'), dict(type='BN', momentum=None),
                                  dict(type='BN', track_running_stats=False)])
def test_norms_of_all_kinds_learn_once(norm, use_reentrant):
    torch.manual_seed(0)
    assert_same_step(SpikingConvUnit(5, 8, 3, LIF, norm).double(), torch.randn(3, 4, 5, 6, 6).double(), use_reentrant)


@MODES
def test_blur_is_the_same_when_it_is_recomputed(use_reentrant):
    loss = BKDLoss('a', 'b', 6, 8, loss_weight=1.0, blur_ratio=0.5).double()
    student, teacher = torch.randn(2, 4, 6, 5, 5).double(), torch.randn(4, 8, 5, 5).double()
    results = []
    for wrap in (lambda f: f, lambda f: partial(checkpoint, f, use_reentrant=use_reentrant)):
        torch.manual_seed(3)
        x = student.clone().requires_grad_()
        loss.zero_grad()
        value = wrap(loss)(x, teacher)
        torch.rand(7)  # what others draw meanwhile
        value.backward()
        results.append([value.detach(), x.grad, *(parameter.grad for parameter in loss.parameters())])
    for a, b in zip(*results):
        assert torch.equal(a, b)


def test_distilling_a_checkpointed_student_is_distilling_it():
    """Stages are recomputed after the losses have taken their features."""
    torch.manual_seed(0)
    losses = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=1e-2),
                  loss_in=dict(type='BKDLoss', student='backbone.layer1.0.unit2', teacher='stage1', loss_weight=1.0))
    model = Distiller(tiny_student(), FrozenTeacher(tiny_cnn()), losses, input_shape=(1, 8, 8)).double()
    images, samples = torch.randn(6, 1, 8, 8).double(), [DataSample().set_gt_label(i) for i in range(6)]
    results = []
    for checkpoints in (False, True):
        made = copy.deepcopy(model)
        if checkpoints:
            checkpoint_blocks_in(made.student)
        torch.manual_seed(1)
        found = made(images, samples, mode='loss')
        sum(found.values()).backward()
        results.append([*found.values(), *(parameter.grad for parameter in made.parameters()), *made.buffers()])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


# ---- with_cp ----

def bytes_kept(network, x):
    """What a forward pass leaves alive beside its output."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        y = network(x)[-1]
    return sum(event.nbytes() for event in found.profiler.kineto_results.events() if event.name() == '[memory]') \
        - y.untyped_storage().nbytes()


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize('backbone', [*SMALL_BACKBONES, *ILIF_BACKBONES])
def test_blocks_that_run_again_give_the_same_step(backbone, compress):
    if backbone in SMALL_BACKBONES:
        drop_path = dict(drop_path=0.4) if backbone in ('Spikformer', 'MetaSpikeFormer') and not compress else {}
        network, frames = small_network(backbone, **drop_path)
        network, x = network.backbone, frames.transpose(0, 1).double()
    else:
        network = MODELS.build(dict(ILIF_BACKBONES[backbone], type=backbone, in_channels=2))
        x = torch.randn(2, 2, 2, 16, 16, dtype=torch.double) * 4
    network = network.double().train()
    again = copy.deepcopy(network)
    checkpoint_blocks_in(again)
    for one in (network, again) if compress else ():
        compress_spikes_in(one)
    for a, b in zip(step(again, again, x), step(network, network, x)):
        assert torch.equal(a, b)
    x.requires_grad_()
    assert bytes_kept(again, x) < 0.8 * bytes_kept(network, x)


def test_of_a_checkpointed_block_its_input_alone_is_kept_as_bytes(monkeypatch):
    network, frames = small_network('SEWResNet')
    network, packed, to_bytes = network.backbone.train(), [], compress._to_bytes
    checkpoint_blocks_in(network)
    compress_spikes_in(network)
    network(frames.transpose(0, 1))  # knows from now on what are spikes
    monkeypatch.setattr(compress, '_to_bytes', lambda x: packed.append(x.shape) or to_bytes(x))
    y = network(frames.transpose(0, 1))[-1]
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    assert len(packed) == len(blocks) > 1
    y.sum().backward()
    assert len(packed) == len(blocks)


def currents_network(**options):
    """Blocks that read an image, the same in every step, with compiled neurons."""
    torch.manual_seed(0)
    neuron = dict(LIF, backend='compile')
    backbone = dict(type='MaxResNet', arch=dict(layers=(1, 1), widths=(4, 8), stem=4), T=4,
                    neuron=neuron, in_channels=1)
    return MODELS.build(dict(type='SpikingClassifier', backbone=backbone, **options, head=dict(
        type='SpikingLinearHead', num_classes=3, in_channels=8, neuron=neuron))).double()


@pytest.mark.parametrize('options', [dict(), dict(time_chunk=2)], ids=str)
def test_blocks_that_read_an_image_run_again_as_they_did(options):
    """Also where saved tensors are moved away in between, as offloading does."""
    x, results = torch.randn(2, 1, 32, 32).double(), []
    for with_cp in (False, True):
        model = currents_network(with_cp=with_cp, **options)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
            logits = model(x)
            logits.square().sum().backward()
        results.append([logits.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_checkpointed_networks_are_compiled_as_a_whole():
    network, frames = small_network('SEWResNet')
    network = network.backbone.double().train()
    again = copy.deepcopy(network)
    checkpoint_blocks_in(again)
    compress_spikes_in(again)
    whole = torch.compile(again, backend='aot_eager', fullgraph=True)
    x = frames.transpose(0, 1).double()
    for a, b in zip(step(whole, again, x), step(network, network, x)):
        torch.testing.assert_close(a, b)


def test_with_cp_is_an_option_of_students_and_of_ones_own_backbones_with_blocks():
    model = MODELS.build(dict(tiny_student(), with_cp=True, compress_spikes=True))
    (stage, ) = model.backbone.layer1
    assert stage.with_cp
    torch.nn.functional.cross_entropy(model(torch.randn(4, 1, 8, 8)).mean(0), torch.arange(4)).backward()
    with pytest.raises(ValueError, match='with_cp=True: TinyCNN has no blocks that can be run again'):
        checkpoint_blocks_in(tiny_cnn())


# ---- the block itself ----

class Counting(nn.Module):
    """A module of one's own that learns from its input."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer('total', torch.zeros(()))
        self.register_buffer('nothing', None)
        self.recomputed = []

    def forward(self, x):
        with learns_once(self):
            self.total += x.detach().sum()
            self.recomputed.append(is_recomputing())
            return (x * self.weight * self.total.sign()).square()


@MODES
def test_modules_of_ones_own_learn_once(use_reentrant):
    module, x = Counting(), torch.ones(3, requires_grad=True)
    checkpoint(module, x, use_reentrant=use_reentrant).sum().backward()
    assert module.total == 3 and module.recomputed == [False, True] and module.weight.grad == 6
    checkpoint(module, x, use_reentrant=use_reentrant).sum().backward()
    assert module.total == 6


def test_buffers_are_the_modules_own_again_also_after_an_error():
    module, x = Counting(), torch.ones(3, requires_grad=True)
    total = module.total

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            with learns_once(module):
                module.total += 1
                raise KeyError('nothing')

    with pytest.raises(KeyError):
        Fails.apply(x).sum().backward()
    assert module.total is total and total == 0


def test_nothing_is_kept_or_copied_outside_of_recomputation():
    module = Counting()
    total = module.total
    with learns_once(module):
        assert module.total is total
    x = torch.ones(3, requires_grad=True)
    x.register_hook(lambda grad: module.recomputed.append(is_recomputing()))
    (x * 2).sum().backward()
    assert module.recomputed == [True] and not is_recomputing()
    module.eval()
    with learns_once(module):
        assert module.total is total
