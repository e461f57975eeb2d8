"""Batch norms joined with convolutions: the same network, in fp64 to the last spike."""
import copy

import pytest
import torch
from torch import nn

from bkdsnn import SpikingInferencer, get_model
from bkdsnn.apis.running import run_at_once, run_until_sure
from bkdsnn.models import Stream
from bkdsnn.models.backbones.meta_spikeformer import RepConvUnit
from bkdsnn.models.layers import SpikingConvUnit, fuse_conv_bn
from bkdsnn.models.neurons import BaseNode
from bkdsnn.registry import MODELS
from helpers import LIF, SMALL_BACKBONES, small_network, tiny_cnn, tiny_student


def outputs(model, frames):
    """Logits, and the spikes of all neurons."""
    spikes = []
    handles = [module.register_forward_hook(lambda _, args, out: spikes.append(out))
               for module in model.modules() if isinstance(module, BaseNode)]
    with torch.no_grad():
        logits = model(frames)
    for handle in handles:
        handle.remove()
    return logits, spikes


NETWORKS = [(name, {}) for name in SMALL_BACKBONES] + [
    ('Spikingformer', dict(tokenizer='plain')), ('Spikformer', dict(tokenizer='cml', qkv_bias=True))]


@pytest.mark.parametrize('backbone, changes', NETWORKS)
def test_joined_network_gives_the_same_logits_and_spikes(backbone, changes):
    model, frames = small_network(backbone, **changes)
    # What gamma and beta have learned; some channels are turned round.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.mul_(torch.where(torch.rand_like(module.weight) < 0.1, -1.0, 1.0))
    model, frames = model.double(), frames.double()
    before = copy.deepcopy(model.state_dict())
    fused = fuse_conv_bn(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    (want, spikes), (got, own_spikes) = outputs(model, frames), outputs(fused, frames)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    assert sum(float(s.sum()) for s in spikes) > 0
    assert len(spikes) == len(own_spikes) and all(map(torch.equal, spikes, own_spikes))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), 'the network was changed'


def test_joined_stem_runs_once_for_a_static_image():
    model = MODELS.build(tiny_student()).double().eval()
    fused, seen = fuse_conv_bn(model), []
    fused.backbone.stem.conv.register_forward_hook(lambda _, args, out: seen.append(out.shape))
    images = torch.randn(3, 1, 8, 8).double()
    torch.testing.assert_close(fused(images), model(images), rtol=0, atol=1e-10)
    assert seen == [(3, 4, 8, 8)]


def test_norm_that_does_not_follow_the_convolution_stays():
    """By the order of children it would be joined, as mmcv does: a pool of currents stands between them."""
    unit = SpikingConvUnit(2, 4, 3, neuron=None, norm=dict(type='BN'), pool=nn.MaxPool2d(2),
                           order=('conv', 'pool', 'norm'))
    other = SpikingConvUnit(4, 4, 1, neuron=LIF, norm=dict(type='BN'))
    model = nn.Sequential(unit, other)
    for _ in range(3):
        model(3 * torch.randn(2, 2, 2, 8, 8))
    unit.norm.weight.data.neg_()
    model = model.double().eval()
    x = torch.randn(2, 2, 2, 8, 8).double()
    fused = fuse_conv_bn(model)
    assert isinstance(fused[0].norm, nn.BatchNorm2d) and fused[1].norm is None
    torch.testing.assert_close(fused(x), model(x), rtol=0, atol=1e-10)


def test_norms_that_cannot_be_joined_are_named():
    model, _ = small_network('SEWResNet')
    with pytest.raises(ValueError, match=r'call model.eval\(\) first'):
        fuse_conv_bn(model.train())
    with pytest.raises(ValueError, match='no SpikingConvUnit; for an ANN take mmcv'):
        fuse_conv_bn(tiny_cnn().eval())
    for norm in (dict(type='GN', num_groups=2, num_channels=4), dict(type='BN', track_running_stats=False)):
        model = MODELS.build(tiny_student()).eval()
        model.backbone.layer1[0].unit2.norm = MODELS.build(
            norm if norm['type'] == 'GN' else dict(norm, num_features=4)).eval()
        with pytest.raises(ValueError, match=r'backbone\.layer1\.0\.unit2 has a (GroupNorm|BatchNorm2d) that cannot'):
            fuse_conv_bn(model)


def test_border_of_a_convolution_with_bias_is_no_bias_and_is_refused():
    unit = RepConvUnit(4, 4, 1, neuron=None, norm=dict(type='BN'))
    unit.conv[0] = nn.Conv2d(4, 4, 1)
    with pytest.raises(ValueError, match='NormAndPad that cannot be joined'):
        fuse_conv_bn(nn.Sequential(unit).eval())


@pytest.mark.parametrize('backbone', ['SEWResNet', 'MetaSpikeFormer'])
def test_joined_network_runs_step_by_step_and_leaves_early(backbone):
    model, frames = small_network(backbone)
    model, frames = model.double(), frames.double()
    fused = fuse_conv_bn(model)
    stream = Stream(fused)
    steps = torch.stack([stream.step(frame) for frame in frames.unbind(1)])
    torch.testing.assert_close(steps, model(frames), rtol=0, atol=1e-10)
    with torch.no_grad():
        # A threshold that some samples reach at the first step.
        threshold = float(run_at_once(model, frames)[0][0][0].softmax(-1).amax())
        (want, spikes), (got, own_spikes) = (run_until_sure(net, frames, 2, threshold - 1e-9) for net in (model, fused))
    assert [len(logits) for logits in got] == [len(logits) for logits in want] and len(got[0]) == 1
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    assert torch.equal(spikes, own_spikes)


def test_published_network_predicts_the_same_with_joined_norms():
    images = [torch.randint(0, 255, (8, 8), dtype=torch.uint8).numpy() for _ in range(16)]
    network = get_model('demo/mixed', pretrained=True)
    inferencer = SpikingInferencer(network, fuse_conv_bn=True)
    assert inferencer.model is not network and inferencer.model.backbone.stem.norm is None
    assert get_model('demo/mixed', pretrained=True, fuse_conv_bn=True).backbone.stem.norm is None
    assert SpikingInferencer('demo/mixed', fuse_conv_bn=True).model.backbone.stem.norm is None
    results = inferencer(images, batch_size=16), SpikingInferencer(network)(images, batch_size=16)
    same = [a['pred_label'] == b['pred_label'] for a, b in zip(*results)]
    assert sum(same) >= 15  # a membrane next to the threshold may spike or not
    with pytest.raises(ValueError, match='for an ANN take mmcv'):
        get_model('demo/teacher', fuse_conv_bn=True)
