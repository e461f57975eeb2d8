"""Which call of a module is recorded, and whether its output has time, a gradient, and the batch where it belongs."""
from functools import partial

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock, ResNet

from bkdsnn.models import Distiller, FeatureRecorder, FrozenTeacher
from helpers import tiny_cnn, tiny_student

BKD = dict(type='BKDLoss', student='backbone.layer2', loss_weight=1.0, resize='student')


class Looped(nn.Module):
    """A network of other people: a loop over time of layers that see one step; its logits are averaged over time."""

    def __init__(self, time_steps=3):
        super().__init__()
        self.time_steps = time_steps
        self.conv, self.fc = nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.Linear(12, 10)

    def forward(self, x):
        return torch.stack([self.fc(self.conv(x * t).relu().mean((-2, -1))) for t in range(self.time_steps)]).mean(0)


def build(teacher, path, network=None, **bkd):
    torch.manual_seed(0)
    network = teacher() if network is None else network
    student = dict(tiny_student(), data_preprocessor=None)
    student['backbone']['in_channels'] = channels = next(network.parameters()).shape[1]
    torch.manual_seed(1)
    return Distiller(student, FrozenTeacher(network), dict(loss_bkd=dict(BKD, teacher=path, **bkd)),
                     input_shape=(channels, 8, 8))


def bkd_of(model):
    torch.manual_seed(2)
    images = torch.randn(4, next(model.teacher.network.parameters()).shape[1], 8, 8)
    return model(images, [DataSample().set_gt_label(i) for i in range(4)], mode='loss')['loss_bkd']


def resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)


def test_a_relu_that_a_block_applies_twice_is_recorded_as_one_says():
    """Its last call gives the block's output; stacked, the two would be taken for time steps."""
    with pytest.raises(ValueError) as error:
        build(resnet, 'layer4.0.relu')
    for words in ('model.losses.loss_bkd.teacher', "'layer4.0.relu' runs 2 times", "'layer4.0.relu:last'",
                  "'layer4.0.relu:calls'"):
        assert words in str(error.value)
    want = bkd_of(build(resnet, 'layer4'))
    assert torch.equal(bkd_of(build(resnet, 'layer4.0.relu:last')), want)
    assert not torch.equal(bkd_of(build(resnet, 'layer4.0.relu:calls')), want)


def test_the_last_call_has_its_own_input_and_version():
    net = resnet().eval()
    with FeatureRecorder(net, ['layer1.0.relu:input:last', 'layer1.0.relu:last', 'layer1']) as recorder:
        net(torch.randn(2, 3, 32, 32))
    features = recorder.features
    # The ReLU works in place.
    assert features['layer1.0.relu:last'] is features['layer1'] is features['layer1.0.relu:input:last']
    net.layer1[0].relu = nn.ReLU()
    with FeatureRecorder(net, ['layer1.0.relu:last:input', 'layer1']) as recorder:
        net(torch.randn(2, 3, 32, 32))
    assert torch.equal(recorder.features['layer1.0.relu:last:input'].relu(), recorder.features['layer1'])


def test_a_loop_over_time_is_distilled_by_all_its_calls():
    model, network = build(Looped, 'conv:calls'), None
    with model.teacher_recorder as recorder:
        model.teacher(torch.randn(4, 1, 8, 8))
    feature = recorder.features['conv:calls']
    assert feature.shape == (3, 4, 12, 4, 4) and feature.has_time and model.losses.loss_bkd.align.out_channels == 12
    network = model.teacher.network
    once = nn.Sequential(network.conv)  # whose feature at time step 1 is the mean of those at 0, 1 and 2
    torch.testing.assert_close(bkd_of(model), bkd_of(build(None, '0', once)))
    with pytest.raises(ValueError, match="'conv' runs 3 times"):
        build(Looped, 'conv')
    assert not torch.allclose(bkd_of(build(Looped, 'conv:last')), bkd_of(model))


def test_a_suffix_never_changes_a_module_that_runs_once():
    want = bkd_of(build(tiny_cnn, 'stage2'))
    assert torch.equal(bkd_of(build(tiny_cnn, 'stage2:last')), want)
    assert torch.equal(bkd_of(build(tiny_cnn, 'stage2:calls')), want)


@pytest.mark.parametrize('path', ['stage2:first', 'stage2:last:calls', 'stage2:', 'stage2:inputs'])
def test_unknown_suffixes_are_named(path):
    with pytest.raises(ValueError, match=f'model.losses.loss_bkd.teacher.*{path}'):
        build(tiny_cnn, path)


def test_time_that_is_part_of_the_batch_is_named_when_the_model_is_built():
    """Layers without state run on time and batch as one axis, which a loss would take for the batch."""
    student = dict(BKD, teacher='stage2')
    for path in ('backbone.layer2.0.unit1.conv', 'backbone.layer2.0.unit1.norm'):
        with pytest.raises(ValueError) as error:
            Distiller(tiny_student(), FrozenTeacher(tiny_cnn()), dict(loss_bkd=dict(student, student=path)),
                      input_shape=(1, 8, 8))
        for words in ('model.losses.loss_bkd.student', path, '(2, 8, 4, 4)', 'Record the unit'):
            assert words in str(error.value)


def test_what_runs_without_gradients_is_no_feature_to_learn_from():
    """Reentrant checkpointing runs the forward pass without them: a loss on what is inside would reach nothing."""
    model, inside = build(tiny_cnn, 'stage2'), build(tiny_cnn, 'stage2', student='backbone.layer2.0')
    want = bkd_of(model)
    for network in (model, inside):
        layer = network.student.backbone.layer2
        layer.forward = partial(checkpoint, layer[0], use_reentrant=True)
    torch.testing.assert_close(bkd_of(model), want)
    with pytest.raises(RuntimeError, match="'backbone.layer2.0' runs without gradients.*use_reentrant=False"):
        bkd_of(inside)
    with torch.no_grad():  # then there are none to lose
        torch.testing.assert_close(bkd_of(inside), want)
    layer.forward = partial(checkpoint, layer[0], use_reentrant=False)
    torch.testing.assert_close(bkd_of(inside), want)
