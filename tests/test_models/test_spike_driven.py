"""Integers unfolded into binary spikes: the same logits, and what is counted of them."""
import copy
import math

import pytest
import torch
from mmengine.config import Config

import golden
from bkdsnn import init_model
from bkdsnn.apis.model import build_model
from bkdsnn.evaluation import measure_synops
from bkdsnn.evaluation.spike_counter import SpikeCounter
from bkdsnn.export import onnx_runner, program_runner, program_to_bytes, to_nir, to_onnx, to_program
from bkdsnn.export.check import check
from bkdsnn.export.deployed import Deployed
from bkdsnn.models import SpikingNode, Stream, spike_driven
from bkdsnn.models.layers import fuse_conv_bn, skipping_zeros, sparse_conv
from bkdsnn.models.unfolding import is_spike_driven
from bkdsnn.registry import MODELS
from helpers import tiny_student

SFA = dict(type='SFANode', D=4, norm=4)
ILIF = dict(type='ILIFNode', D=3, decay=0.25)
ARCH = dict(depth=1, channels=16, num_heads=2, patch_size=4)
BACKBONES = {
    'SEWResNet': dict(arch=dict(layers=(1, 1), widths=(8, 16)), stem='imagenet'),
    'Spikformer': dict(arch=ARCH, tokenizer='sps', qkv_bias=True),
    'Spikingformer': dict(arch=ARCH),
    'MetaSpikeFormer': dict(arch=dict(channels=(4, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2)),
    'ESpikeFormer': dict(arch=dict(channels=(4, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2, kind='separable')),
    'ESpikeFormer-large': dict(arch=dict(channels=(4, 8, 8, 16), depths=(1, ) * 4, num_heads=2,
                                         kind='factorised-conv')),
    'MaxFormer': dict(arch=dict(depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(7, 3), patch_size=16)),
    'MaxFormer-small': dict(arch=dict(depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(None, 3),
                                      patch_size=4)),
    'MaxResNet': dict(arch=dict(layers=(1, 2), widths=(8, 16), stem=4)),
}
HAS_HEAD_NEURON = ('MetaSpikeFormer', 'ESpikeFormer', 'MaxFormer')


def build(name, neuron=SFA, T=1, **head):
    kind = name.split('-')[0]
    if kind in HAS_HEAD_NEURON:
        head.setdefault('neuron', dict(neuron, norm=1))
    model = MODELS.build(dict(
        type='SpikingClassifier', backbone=dict(type=kind, T=T, neuron=neuron, in_channels=2, **BACKBONES[name]),
        head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16, **head)))
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(values, 0.5, 1.0)
    return model.double().eval()


def images(*shape):
    return torch.randn(*shape, 2, 32, 32, dtype=torch.double) * 2


@pytest.mark.parametrize('neuron, T', [(SFA, 1), (ILIF, 2), (dict(ILIF, norm=2), 1)], ids=['sfa', 'ilif', 'ilif-norm'])
@pytest.mark.parametrize('name', BACKBONES)
def test_unfolded_network_equals_the_integer_one(name, neuron, T):
    model = build(name, neuron, T)
    unfolded = spike_driven(model)
    seen = {}
    for path, node in unfolded.named_modules():
        if isinstance(node, SpikingNode):
            node.register_forward_hook(lambda node, args, out, path=path: seen.update({path: out}))
    for inputs in (images(2), images(2, 3)):
        with torch.no_grad():
            want, got = model(inputs), unfolded(inputs)
        assert want.std() > 0 and got.shape == want.shape
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
        steps = (T if inputs.dim() == 4 else 3) * neuron['D']
        assert all(spikes.shape[0] == steps and set(spikes.unique().tolist()) <= {0.0, 1.0} for spikes in seen.values())
        assert len({len(spikes.unique()) for spikes in seen.values()} & {2})


def test_every_product_with_weights_adds_binary_spikes():
    """But those with the image, and with what a depth-wise or factorised convolution leaves to the next one."""
    cost = measure_synops(build('ESpikeFormer'), [images(2)])
    assert {layer.name: layer.input for layer in cost if layer.input != 'spikes'} == {
        'backbone.downsamples.0.conv': 'image'}
    assert {layer.kind for layer in cost} == {'conv', 'linear', 'product'}


@pytest.mark.parametrize('name, neuron', [('ESpikeFormer', SFA), ('SEWResNet', ILIF), ('MaxFormer', ILIF)])
def test_energy_counts_the_unfolded_spikes_and_leaves_the_network_as_it_was(name, neuron):
    model, x = build(name, neuron), images(1)
    want, unfolded = model(x), spike_driven(model)
    cost, again = measure_synops(model, [x]), measure_synops(unfolded, [x])
    assert cost.to_dict() == again.to_dict() and cost.time_steps == neuron['D']
    assert torch.equal(model(x), want)
    with SpikeCounter(model) as counter, SpikeCounter(unfolded) as other:
        model(x), unfolded(x)
        spikes, same = counter.take().item(), other.take().item()
    rates = sum(layer.firing_rate * layer.neurons for layer in cost.neurons)
    assert spikes == same == round(rates * neuron['D']) > 0


def test_student_that_is_spike_driven_unfolds_in_inference_alone():
    model = build('MaxFormer', ILIF)
    cfg = dict(type='SpikingClassifier', spike_driven=True, head=dict(
        type='SpikingLinearHead', num_classes=10, in_channels=16, neuron=dict(ILIF, norm=1)),
        backbone=dict(type='MaxFormer', T=1, neuron=ILIF, in_channels=2, **BACKBONES['MaxFormer']))
    student = MODELS.build(cfg).double()
    student.load_state_dict(model.state_dict())
    node, x = student.backbone.embeddings[1].neuron, images(2)
    assert not node.spike_driven
    with torch.no_grad():
        torch.testing.assert_close(student.eval()(x), model(x), rtol=1e-12, atol=1e-12)
    assert node.spike_driven and not student.train().backbone.embeddings[1].neuron.spike_driven
    student(x).sum().backward()
    assert all(p.grad is not None for p in student.parameters())


def test_unfolded_network_streams_copies_and_joins_its_norms():
    model = build('SEWResNet', ILIF, T=3)
    unfolded, frames = spike_driven(model), images(2, 3)
    stream, want = Stream(copy.deepcopy(unfolded)), model(frames)
    got = torch.stack([stream.step(frames[:, t]) for t in range(3)])
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    for network in (fuse_conv_bn(unfolded), spike_driven(fuse_conv_bn(model))):
        torch.testing.assert_close(network(frames), want, rtol=1e-9, atol=1e-9)


def test_exported_network_is_the_unfolded_one():
    model = MODELS.build(tiny_student(neuron=dict(ILIF, D=2), widths=(8, ), T=1)).eval()
    deployed, x = Deployed(model, normalise=False), torch.randn(2, 1, 8, 8) * 3
    assert all(deployed.model.get_submodule(path).spike_driven for path in deployed.neurons)
    assert not any(module.spike_driven for module in model.modules() if isinstance(module, SpikingNode))
    program = to_program(deployed, (1, 8, 8), batch_size=2)
    as_onnx = to_onnx(program, optimize=False).SerializeToString()
    for runner in (program_runner(program_to_bytes(program)), onnx_runner(as_onnx)):
        assert check(deployed, runner, x).firing_rate > 0  # or an error, if logits differ
    with pytest.raises(ValueError, match='NIR cannot hold .*: a neuron that sums up the currents of D steps'):
        to_nir(deployed, (1, 8, 8))


def test_unfolded_attention_is_exported():
    deployed = Deployed(build('Spikingformer').float(), normalise=False)
    program = to_program(deployed, (2, 8, 8), batch_size=2)
    assert check(deployed, program_runner(program_to_bytes(program)), torch.randn(2, 2, 8, 8) * 2).firing_rate > 0


@pytest.mark.parametrize('cfg, message', [
    (tiny_student(), 'no neurons that emit integers'),
    (dict(tiny_student(neuron=SFA), head=dict(type='SpikingLinearHead', num_classes=10, in_channels=8,
                                             neuron=golden.IF)), r'head.neuron \(IFNode\) emits no integers'),
    (dict(tiny_student(neuron=SFA), head=dict(type='SpikingLinearHead', num_classes=10, in_channels=8,
                                             neuron=dict(SFA, D=2))), 'several D'),
    (dict(type='SpikingClassifier', head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16), backbone=dict(
        type='QKFormer', arch=dict(depths=(1, 1, 1), channels=16, num_heads=2, patch_size=4), T=1, neuron=SFA)),
     'backbone.stages.0.0.attention multiplies two integers'),
    (dict(type='SpikingClassifier', head=dict(type='SpikingLinearHead', num_classes=10, in_channels=4), backbone=dict(
        type='SEWDVSNet', arch=dict(widths=(4, 4)), neuron=SFA)), 'largest of sums of integers'),
    (dict(tiny_student(neuron=SFA), neck=dict(type='mmpretrain.LinearNeck', in_channels=8, out_channels=8)),
     'the neck, a LinearNeck, stands between the backbone and the head')])
def test_what_cannot_be_unfolded_is_an_error_when_it_is_built(cfg, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(cfg, spike_driven=True))
    with pytest.raises(ValueError, match=message):
        spike_driven(MODELS.build(cfg).eval())


def test_unfolded_convolutions_skip_zeros_where_they_shall(monkeypatch):
    cfg = tiny_student(neuron=ILIF, widths=(32, 32), T=2)
    model = MODELS.build(cfg).double()
    for _ in range(20):
        model(torch.rand(3, 1, 8, 8, dtype=torch.double) * 4)
    x, sparse = torch.rand(3, 1, 8, 8, dtype=torch.double) * 4, []
    want = model.eval()(x)
    both = skipping_zeros(spike_driven(model))
    run = sparse_conv._SparseConv.apply
    monkeypatch.setattr(sparse_conv._SparseConv, 'apply', lambda *given: sparse.append(given[0]) or run(*given))
    with torch.no_grad():
        torch.testing.assert_close(both(x), want, rtol=1e-10, atol=1e-10)
    # Two that read spikes, or sums of two, in each of two blocks; the second one's 1x1 has a stride.
    assert want.std() > 0 and sum((x == x.round()).all().item() for x in sparse) == 4


def test_training_mode_and_connections_of_binary_spikes_are_errors():
    with pytest.raises(ValueError, match='model.eval'):
        spike_driven(build('SEWResNet').train())
    for connect in ('AND', 'IAND'):
        with pytest.raises(ValueError, match=f"connect='{connect}' joins binary spikes, and SFANode emits integers"):
            MODELS.build(tiny_student(neuron=SFA, connect=connect))


def test_checkpoint_of_another_integer_range_is_an_error():
    weights = MODELS.build(tiny_student(neuron=SFA)).state_dict()
    MODELS.build(tiny_student(neuron=SFA)).load_state_dict(weights)
    for other in (dict(SFA, D=8), dict(SFA, norm=1)):
        with pytest.raises(ValueError, match='integers from 0 to D=4 and norm=4, this one has'):
            MODELS.build(tiny_student(neuron=other)).load_state_dict(weights)


@pytest.mark.parametrize('tokens, channels', [(2, 8), (9, 4)])
def test_attention_of_unfolded_spikes_in_either_order_of_products(tokens, channels):
    from bkdsnn.models.layers import Unfolding, attend
    from bkdsnn.models.neurons.integer import unfold_spikes
    integers = [torch.randint(0, 4, (2, 3, width, tokens, 1), dtype=torch.double)
                for width in (channels, channels, 2 * channels)]
    got = Unfolding(3, 2.0).attend(*(unfold_spikes(x, 3) for x in integers), num_heads=2, scale=math.pi)
    torch.testing.assert_close(got, attend(*(x / 2 for x in integers), 2, math.pi), rtol=1e-12, atol=1e-12)


def test_models_are_built_with_binary_spikes_where_they_are_asked_for(tmp_path):
    cfg = Config(dict(model=tiny_student(neuron=ILIF, T=1), default_scope='bkdsnn'))
    model, images = init_model(cfg), torch.randn(4, 1, 8, 8, dtype=torch.double)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    want = model.double()(images)
    for fused in (False, True):
        for unfolded in (init_model(cfg, str(tmp_path / 'weights.pth'), fuse_conv_bn=fused, spike_driven=True),
                         build_model(model, True, None, fuse_conv_bn=fused, spike_driven=True)):
            assert is_spike_driven(unfolded) and not is_spike_driven(model)
            torch.testing.assert_close(unfolded.double()(images), want, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match='no neurons that emit integers'):
        init_model(Config(dict(model=tiny_student())), spike_driven=True)
