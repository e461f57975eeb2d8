"""SEW-ResNet beyond the recorded numbers."""
import pytest
import torch

import golden
from bkdsnn.models import SEWResNet
from bkdsnn.models.backbones.sew_resnet import SEWBlock
from bkdsnn.models.layers import SEW_CONNECT

SMALL = dict(arch=dict(layers=(1, 1), widths=(4, 8)), T=3, neuron=golden.IF, in_channels=2, stem='small')


@pytest.mark.parametrize('connect, want', [('ADD', [0, 1, 1, 2]), ('AND', [0, 0, 0, 1]), ('IAND', [0, 1, 0, 0])])
def test_connections_follow_their_truth_table(connect, want):
    branch, identity = torch.tensor([0., 0., 1., 1.]), torch.tensor([0., 1., 0., 1.])
    assert SEW_CONNECT[connect](branch, identity).tolist() == want


@pytest.mark.parametrize('connect', ['ADD', 'AND', 'IAND'])
@pytest.mark.parametrize('stem', ['small', 'imagenet'])
@pytest.mark.parametrize('bottleneck', [False, True])
def test_every_variant_trains_all_its_parameters(connect, stem, bottleneck):
    net = SEWResNet(**{**SMALL, 'arch': dict(layers=(2, 1), widths=(4, 8), bottleneck=bottleneck)}, connect=connect) \
        if stem == 'small' else SEWResNet(**{**SMALL, 'stem': stem}, connect=connect)
    net.init_weights()
    size = 8 if stem == 'small' else 32
    (out, ) = net(torch.randn(2, 2, size, size))
    out.sum().backward()
    # No parameter without a gradient, so DDP needs no find_unused_parameters.
    assert all(p.grad is not None for p in net.parameters())
    assert out.shape[:2] == (3, 2)
    assert out.unique().tolist() == [v for v in out.unique().tolist() if v == round(v)]


def test_static_image_equals_the_same_frame_repeated_and_its_stem_runs_once():
    net = SEWResNet(**SMALL, out_indices=(0, 1)).eval()
    calls = []
    net.stem.conv.register_forward_hook(lambda *args: calls.append(args[1][0].shape[0]))
    x = torch.randn(2, 2, 8, 8)
    static, repeated = net(x), net(x.expand(3, -1, -1, -1, -1))
    assert calls == [2, 6]
    for a, b in zip(static, repeated):
        torch.testing.assert_close(a, b)


def test_event_frames_bring_their_own_time_steps():
    assert SEWResNet(**SMALL)(torch.randn(5, 1, 2, 8, 8))[0].shape[0] == 5


def test_stages_beyond_the_last_output_are_not_built():
    assert not hasattr(SEWResNet(**SMALL, out_indices=(0, )), 'layer2')


@pytest.mark.parametrize('connect, branch', [('ADD', 0), ('IAND', 0), ('AND', 1)])
def test_zero_init_residual_makes_blocks_neutral(connect, branch):
    net = SEWResNet(**SMALL, connect=connect, zero_init_residual=True)
    net.init_weights()
    block = net.layer1[0]
    assert isinstance(block, SEWBlock)
    spikes = (torch.rand(3, 2, 4, 8, 8) > 0.5).float()
    assert (block.unit2(block.unit1(spikes)) == branch).all()
    assert torch.equal(block(spikes), spikes)


@pytest.mark.parametrize('wrong, named', [
    (dict(T=0), 'T=0'), (dict(connect='OR'), "connect='OR'"), (dict(stem='tiny'), "stem='tiny'"),
    (dict(arch=20), 'arch=20'), (dict(arch=dict(layers=(1, ), widths=(4, 8))), 'widths'),
    (dict(arch=dict(layers=(1, ), width=(4, ))), 'width'), (dict(out_indices=(2, )), 'out_indices'),
    (dict(out_indices=(1, 0)), 'out_indices'), (dict(out_indices=1), 'out_indices')])
def test_bad_arguments_are_named(wrong, named):
    with pytest.raises(ValueError) as error:
        SEWResNet(**{**SMALL, **wrong})
    assert named in str(error.value)
