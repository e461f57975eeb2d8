"""Spiking transformers beyond the recorded numbers."""
import pytest
import torch
from mmpretrain.structures import DataSample

import golden
from bkdsnn.models import Distiller, FrozenTeacher, SpikingSelfAttention, Stream, time_mean
from bkdsnn.models.layers import DropPath, attend
from bkdsnn.registry import MODELS
from helpers import tiny_cnn

ARCH = dict(channels=16, depth=2, num_heads=2, patch_size=4)
SMALL = dict(arch=ARCH, T=2, neuron=golden.LIF, in_channels=1)
# Every tokenizer and backbone at its smallest.
NETS = {
    'spikingformer-cml': dict(type='Spikingformer', **SMALL),
    'spikingformer-plain': dict(type='Spikingformer', **SMALL, tokenizer='plain'),
    'spikformer-cml': dict(type='Spikformer', **SMALL),
    'spikformer-sps': dict(type='Spikformer', **SMALL, tokenizer='sps', qkv_bias=True),
    'qkformer-4': dict(type='QKFormer', **{**SMALL, 'arch': dict(depths=(1, 1, 1), channels=16, num_heads=2,
                                                                 patch_size=4)}),
    'qkformer-16': dict(type='QKFormer', **{**SMALL, 'arch': dict(depths=(1, 2, 1), channels=16, num_heads=2,
                                                                  patch_size=16)}),
    'meta-spikeformer': dict(type='MetaSpikeFormer', **{**SMALL, 'arch': dict(
        channels=(4, 8, 8, 16, 16), depths=(1, 1, 2, 1, 1), num_heads=2)}),
    'e-spikeformer': dict(type='ESpikeFormer', **{**SMALL, 'arch': dict(
        channels=(4, 8, 8, 16, 16), depths=(1, 1, 2, 1, 1), num_heads=2, kind='separable')}),
    'e-spikeformer-large': dict(type='ESpikeFormer', **{**SMALL, 'arch': dict(
        channels=(4, 8, 8, 16), depths=(1, 1, 1, 2), num_heads=2, kind='factorised-conv')}),
    'maxformer-16': dict(type='MaxFormer', **{**SMALL, 'arch': dict(
        depths=(1, 2, 1), channels=16, num_heads=2, kernel_sizes=(7, 5), patch_size=16)}),
    'maxformer-4': dict(type='MaxFormer', **{**SMALL, 'arch': dict(
        depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(None, 3), patch_size=4)}),
}
SEQUENTIAL = [name for name in NETS if name.startswith('spik')]


def build(name, **changes):
    net = MODELS.build({**NETS[name], **changes})
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 4.0)  # so that all layers spike
    return net


@pytest.mark.parametrize('name', NETS)
@pytest.mark.parametrize('size', [(32, 32), (16, 48)])
@pytest.mark.parametrize('time_steps', [1, 3])
def test_any_size_and_time_steps_for_images_and_events(name, size, time_steps):
    """Mistake 12: square inputs and T = 4 built in."""
    net = build(name, T=time_steps)
    stride = 4 if name in SEQUENTIAL or name.endswith('-4') else 16
    shape = (time_steps, 2, 16, size[0] // stride, size[1] // stride)
    (out, ) = net(torch.randn(2, 1, *size))
    assert out.shape == shape
    (out, ) = net(torch.randn(time_steps, 2, 1, *size))
    assert out.shape == shape


@pytest.mark.parametrize('name', NETS)
def test_stem_of_a_static_image_runs_once_and_equals_the_repeated_image(name):
    net = build(name, T=4)
    stem = next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    batches = []
    stem.register_forward_hook(lambda module, args, out: batches.append(len(args[0])))
    images = torch.randn(3, 1, 32, 32) * 2
    state = {key: value.clone() for key, value in net.state_dict().items()}
    outputs, statistics = [], []
    for shown in (images, images.expand(4, *images.shape)):
        net.load_state_dict(state)
        outputs.append(net.train()(shown)[0])
        statistics.append({key: value.clone() for key, value in net.state_dict().items() if 'running' in key})
    assert batches == [3, 12]
    torch.testing.assert_close(outputs[0], outputs[1])
    # Including the unbiased variance, which counts the copies.
    torch.testing.assert_close(statistics[0], statistics[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', NETS)
def test_no_parameter_is_left_without_a_gradient(name):
    """Mistake 13: unused layer norms break DDP."""
    net = build(name)
    net(torch.randn(2, 1, 32, 32) * 3)[0].sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize('name', NETS)
def test_samples_do_not_influence_each_other(name):
    """QKFormer's public code lets membranes leak from one sample to the next."""
    net, images = build(name).eval(), torch.randn(3, 1, 32, 32) * 3
    with torch.no_grad():
        whole, alone = net(images)[0], torch.cat([net(image.unsqueeze(0))[0] for image in images], dim=1)
    torch.testing.assert_close(whole, alone)
    assert whole.any()


def published_projection(unit, spikes):
    """What QKFormer's code makes of the spikes of its attention: one LIF neuron over T * B steps of (C, H, W)."""
    with torch.no_grad():
        currents = unit.norm(unit.conv(spikes.flatten(0, 1)))
    membrane, fired = torch.zeros_like(currents[0]), []
    for current in currents:
        membrane = membrane + (current - membrane) / 2
        fired.append((membrane >= 1).to(current.dtype))
        membrane = membrane * (1 - fired[-1])
    return torch.stack(fired).unflatten(0, spikes.shape[:2])


@pytest.mark.parametrize('name', ['qkformer-4', 'qkformer-16'])
def test_batch_leak_is_the_published_evaluation(name):
    """Against their loop, written out; the samples' order matters, and at a batch size of one there is no leak."""
    net = build(name, batch_leak=True).eval()
    attention, = (module for module in net.modules() if isinstance(module, SpikingSelfAttention))
    torch.nn.init.constant_(attention.project.norm.bias, 0.8)  # below the threshold, so that membranes last
    seen = {}
    attention.project.register_forward_hook(lambda module, args, out: seen.update(leaking=out))
    attention.attention_neuron.register_forward_hook(lambda module, args, out: seen.update(spikes=out))
    images = torch.randn(3, 1, 32, 32) * 3
    with torch.no_grad():
        whole = net(images)[0]
        expected = published_projection(attention.project, seen['spikes'])
        assert torch.equal(seen['leaking'].squeeze(1).unflatten(0, (2, 3)), expected)
        reverse = net(images.flip(0))[0].flip(1)
        attention.batch_leak = False
        plain, alone = net(images)[0], net(images[:1])[0]
        attention.batch_leak = True
        torch.testing.assert_close(net(images[:1])[0], alone, rtol=0, atol=0)
    assert not torch.equal(whole, plain) and not torch.equal(whole, reverse)


def test_batch_leak_is_off_by_default_and_refuses_what_it_cannot_be():
    leaking = dict(type='SpikingClassifier', backbone=dict(NETS['qkformer-4'], batch_leak=True),
                   head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16))
    assert not any(getattr(module, 'batch_leak', False) for module in build('qkformer-4').modules())
    with pytest.raises(TypeError, match='does not run step by step'):
        Stream(MODELS.build(leaking).eval()).step(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match='SFANode emits integers'):
        build('qkformer-4', batch_leak=True, neuron=dict(type='SFANode', D=4, norm=4))


@pytest.mark.parametrize('name', NETS)
def test_out_indices_select_stages_and_later_ones_are_not_built(name):
    state = build(name).state_dict()
    net = build(name, out_indices=(0, 1))
    net.load_state_dict({key: value for key, value in state.items() if key in net.state_dict()})
    assert net.state_dict().keys() <= state.keys()
    assert len(net(torch.randn(2, 1, 32, 32))) == 2
    if name not in SEQUENTIAL:
        assert len(net.state_dict()) < len(state)


@pytest.mark.parametrize('cml, other', [('spikingformer-cml', 'spikingformer-plain'),
                                        ('spikformer-cml', 'spikformer-sps')])
def test_tokenizers_differ_in_their_pools_only(cml, other):
    """Same weights; CML pools currents, the older tokenizers pool spikes, so their first maps differ."""
    first, second = build(cml, qkv_bias=False).eval(), build(other, qkv_bias=False).eval()
    second.load_state_dict(first.state_dict())
    images = torch.randn(2, 1, 32, 32) * 3
    with torch.no_grad():
        a, b = first.tokenizer(images, 2), second.tokenizer(images, 2)
    assert a.shape == b.shape and not torch.equal(a, b)


def test_attention_runs_once_per_block_while_features_are_recorded():
    """Mistake 7: it ran twice."""
    student = dict(type='SpikingClassifier', backbone=NETS['spikingformer-cml'],
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


def test_backbone_path_is_its_last_stage():
    """Configs distil ``student='backbone'`` whatever the depth."""
    student = dict(type='SpikingClassifier', backbone=dict(NETS['spikingformer-cml'], out_indices=(0, 1)),
                   head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16))
    model = Distiller(student, FrozenTeacher(tiny_cnn()), losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher='fc:input', loss_weight=1e-2)))
    with model.student_recorder as recorder:
        outputs = model.student.backbone(torch.randn(2, 1, 8, 8))
    assert torch.equal(recorder.features['backbone'], outputs[-1])


@pytest.mark.parametrize('tokens', [2, 50])
def test_attention_orders_its_product_by_cost_with_equal_results(tokens):
    q, k, v = (torch.randn(2, 3, 16, tokens, 1, dtype=torch.float64) for _ in range(3))
    by_head = [x.flatten(3).unflatten(2, (2, -1)).mT for x in (q, k, v)]
    want = ((by_head[0] @ by_head[1].mT) @ by_head[2] * 0.125).mT.reshape(v.shape)
    torch.testing.assert_close(attend(q, k, v, 2, 0.125), want)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = DropPath(0.3), torch.ones(4, 2000, 3, 1, 1)
    out = drop(x)
    kept = out[0, :, 0, 0, 0]
    assert torch.equal(out, kept.view(1, -1, 1, 1, 1).expand_as(out))
    assert len(set(kept.tolist())) == 2
    assert abs((kept > 0).float().mean().item() - 0.7) < 0.03
    assert abs(kept.mean().item() - 1) < 0.05
    assert drop.eval()(x) is x


@pytest.mark.parametrize('name', [*SEQUENTIAL, 'meta-spikeformer'])
def test_drop_path_rises_to_the_configured_rate_and_acts_in_training_only(name):
    net = build(name, drop_path=0.4)
    rates = [module.probability for module in net.modules() if isinstance(module, DropPath)]
    assert rates == [0.0, 0.4]
    images = torch.randn(8, 1, 32, 32) * 3
    plain = build(name)
    plain.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(images)[0], plain.eval()(images)[0])
    assert not torch.equal(net.train()(images)[0], plain.train()(images)[0])


@pytest.mark.parametrize('wrong, named', [
    (dict(T=0), 'T=0'), (dict(arch='9-384'), "arch='9-384'.*4-384"), (dict(arch=dict(depth=2)), 'num_heads'),
    (dict(arch=dict(ARCH, patch_size=8)), 'patch_size=8'), (dict(arch=dict(ARCH, channels=12)), 'channels=12'),
    (dict(arch=dict(ARCH, num_heads=3)), '3 heads'), (dict(out_indices=(2, )), r'out_indices=\(2'),
    (dict(tokenizer='sps'), "tokenizer='sps'.*plain"), (dict(drop_path=1.0), 'drop_path=1.0')])
def test_bad_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        build('spikingformer-cml', **wrong)


@pytest.mark.parametrize('name, wrong, named', [
    ('qkformer-4', dict(arch='4-256'), '10-384'), ('qkformer-4', dict(T=-1), 'T=-1'),
    ('qkformer-4', dict(arch=dict(depths=(1, 1), channels=16, num_heads=2, patch_size=4)), 'three depths'),
    ('qkformer-4', dict(arch=dict(depths=(1, 1, 1), channels=24, num_heads=4, patch_size=4)), '6 channels.*4 heads'),
    ('meta-spikeformer', dict(arch=dict(channels=(4, ) * 4, depths=(1, ) * 5, num_heads=2)), 'five stages'),
    ('meta-spikeformer', dict(out_indices=(5, )), 'out_indices'), ('e-spikeformer', dict(arch='xl'), "'12-768'"),
    ('e-spikeformer', dict(arch=dict(NETS['e-spikeformer']['arch'], kind='factorised')), 'five stages.*or four'),
    ('maxformer-4', dict(arch=dict(NETS['maxformer-4']['arch'], patch_size=8)), 'patch_size of'),
    ('maxformer-4', dict(neuron=dict(type='PSNNode', T=4, surrogate=golden.IF['surrogate'])), 'T=2, but PSNNode')])
def test_bad_arguments_of_the_hierarchical_networks_are_named(name, wrong, named):
    with pytest.raises(ValueError, match=named):
        build(name, **wrong)


@pytest.mark.parametrize('name', ['spikingformer-cml', 'qkformer-4', 'maxformer-4'])
def test_size_that_is_no_multiple_of_the_patch_is_named(name):
    with pytest.raises(ValueError, match='10x8, which is not a multiple of 4'):
        build(name)(torch.randn(1, 1, 10, 8))


@pytest.mark.parametrize('name', ['meta-spikeformer', 'e-spikeformer'])
def test_size_that_the_strides_do_not_divide_is_named(name):
    with pytest.raises(ValueError, match='Spikeformer|SpikeFormer.*16x24, which is not a multiple of 16'):
        build(name)(torch.randn(1, 1, 16, 24))
    (found, ) = build(name, out_indices=(1, ))(torch.randn(1, 1, 12, 20))  # of which two stages are built
    assert found.shape[-2:] == (3, 5)


@pytest.mark.parametrize('size', [(128, 128), (34, 34), (180, 240)])
def test_sew_dvs_net_takes_any_sensor(size):
    """Mistake 12: 128 pixels were built in."""
    model = MODELS.build(dict(
        type='SpikingClassifier', backbone=dict(type='SEWDVSNet', arch=dict(widths=(4, ) * 7), neuron=golden.PLIF),
        head=dict(type='SpikingLinearHead', num_classes=11, in_channels=4)))
    logits = model(torch.randn(2, 3, 2, *size))
    assert logits.shape == (3, 2, 11)
    time_mean(logits).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_sew_dvs_net_says_that_it_takes_events():
    with pytest.raises(ValueError, match='event frames'):
        MODELS.build(dict(type='SEWDVSNet', arch='dvs-gesture', neuron=golden.PLIF))(torch.randn(2, 2, 128, 128))
