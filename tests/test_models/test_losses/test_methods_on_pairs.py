"""Every method that comes along trains on every kind of pair: networks are built once, losses for each method."""
from functools import lru_cache, partial

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from timm.models import VisionTransformer
from torch import nn

from bkdsnn.config.methods import methods
from bkdsnn.models import Distiller, FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import LIF, tiny_student

CLASSES, SAMPLES = 5, 4
STAGES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']


def spiking(backbone, channels, **head):
    head = dict(dict(type='SpikingLinearHead', num_classes=CLASSES, in_channels=channels), **head)
    return MODELS.build(dict(type='SpikingClassifier', backbone=backbone, head=head))


def sew_resnet():
    """SEW-ResNet and mmpretrain's ResNet, which is wider."""
    student = MODELS.build(tiny_student(CLASSES, widths=(4, 8, 8), in_channels=3))
    teacher = MODELS.build(dict(
        type='ImageClassifier', _scope_='mmpretrain', neck=dict(type='GlobalAveragePooling'),
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4, num_stages=3,
                      strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, )),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=16)))
    taps = dict(student=dict(feature=STAGES[-1], stages=STAGES),
                teacher=dict(feature=STAGES[-1], stages=STAGES, logits='head.fc', classifier='head.fc'))
    return student, teacher, taps, (3, 8, 8)


def spikformer(**head):
    """Spikformer and timm's ViT."""
    student = spiking(dict(type='Spikformer', arch=dict(depth=1, channels=16, num_heads=2, patch_size=4), T=2,
                           neuron=LIF), 16, **head)
    teacher = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=2, num_classes=CLASSES)
    taps = dict(student=dict(stages=['backbone.tokenizer', 'backbone.blocks.0', 'backbone']),
                teacher=dict(feature='head:input', stages=['blocks.0', 'blocks.1', 'norm'], logits='head',
                             classifier='head'))
    return student, teacher, taps, (3, 16, 16)


def events():
    """A network for events with two frames, and a spiking teacher with four of the same recordings."""
    stages = [f'backbone.stage{i}.widen' for i in (1, 2, 3)]
    taps = dict(feature=stages[-1], stages=stages)
    student, teacher = (spiking(dict(type='SEWDVSNet', arch=dict(widths=widths), neuron=dict(LIF, type=neuron)),
                                widths[-1]) for widths, neuron in (((4, 8, 8), 'ParametricLIFNode'),
                                                                   ((4, 8, 12), 'LIFNode')))
    return student, teacher, dict(student=taps, teacher=dict(taps, classifier='head.fc')), dict(
        student=(2, 2, 16, 16), teacher=(4, 2, 16, 16))


FAMILIES = dict(sew_resnet=sew_resnet, spikformer=spikformer, events=events)
TWO_CLASSIFIERS = dict(spikformer=partial(spikformer, type='SpikingDistillationHead', neuron=LIF))


def trains_the_second(losses):
    """Whether a method trains a second classifier of the student."""
    return any(loss and loss['type'].startswith(('HardLogits', 'SoftToken')) for loss in losses.values())


@lru_cache
def pair(family, two_classifiers=False):
    """Student, teacher and taps of a family, so that all layers fire, and a batch."""
    torch.manual_seed(0)
    student, teacher, taps, shapes = ({**FAMILIES, **TWO_CLASSIFIERS} if two_classifiers else FAMILIES)[family]()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 4.0)
    views = shapes if isinstance(shapes, dict) else dict(student=shapes)
    inputs = {side: 2 * torch.rand(SAMPLES, *shape) for side, shape in views.items()}
    return (dict(student=student, teacher=FrozenTeacher(teacher), taps=taps, input_shape=shapes),
            inputs if 'teacher' in inputs else inputs['student'])


@pytest.mark.parametrize('method', methods())
@pytest.mark.parametrize('family', FAMILIES)
def test_method_takes_a_step_on_the_pair(family, method):
    """Forward and backward; what is trained of the losses gets a gradient, and the teacher none."""
    losses = Config.fromfile(methods()[method]).losses.to_dict()
    networks, inputs = pair(family, trains_the_second(losses))
    if trains_the_second(losses) and family != 'spikformer':
        with pytest.raises(ValueError, match='distilled'):  # the second classifier that it trains
            Distiller(**networks, losses=losses)
        return
    model = Distiller(**networks, losses=losses).train()
    model.zero_grad()
    reported = model(inputs, [DataSample().set_gt_label(i % CLASSES) for i in range(SAMPLES)], mode='loss')
    expected = {name for name, loss in dict(dict(loss_cls={}), **losses).items() if loss is not None}
    assert {name for name in reported if 'loss' in name} == expected
    assert all(loss.shape == () and loss.isfinite() for loss in reported.values())
    model.parse_losses(reported)[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient.isfinite().all() for gradient in gradients.values() if gradient is not None)
    assert all(gradient is not None for name, gradient in gradients.items() if 'losses.' in name)
    assert gradients['student.head.fc.weight'].abs().sum() > 0
    assert any(gradient is not None and gradient.abs().sum() > 0 for name, gradient in gradients.items()
               if 'student.backbone' in name)
    assert all(parameter.grad is None for parameter in networks['teacher'].parameters())


def test_a_second_classifier_that_no_loss_trains_is_refused():
    networks, _ = pair('spikformer', two_classifiers=True)
    with pytest.raises(ValueError, match='SpikingDistillationHead answers with head.distilled too, which no loss'):
        Distiller(**networks, losses=Config.fromfile(methods()['kd']).losses.to_dict())


@pytest.mark.parametrize('method', methods())
def test_each_method_pulls_by_itself(method):
    """Each of its losses but the task loss moves the student; those that replace it are never counted beside it."""
    losses = Config.fromfile(methods()[method]).losses.to_dict()
    networks, inputs = pair('spikformer', trains_the_second(losses))
    model = Distiller(**networks, losses=losses).train()
    reported = model(inputs, [DataSample().set_gt_label(i % CLASSES) for i in range(SAMPLES)], mode='loss')
    assert (model.task_loss is None) == ('loss_cls' in losses)
    for name in losses:
        if losses[name] is None:
            continue
        pulls = torch.autograd.grad(reported[name], [*model.student.parameters()], retain_graph=True,
                                    allow_unused=True)
        assert any(pull is not None and pull.abs().sum() > 0 for pull in pulls), name
