"""Which features have time as their first axis is known of the network that they are recorded from, never guessed."""
import pytest
import timm
import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from bkdsnn.models import Distiller, DistillLoss, FrozenTeacher, time_mean
from bkdsnn.models.layers import has_time_axis, mark_time
from bkdsnn.registry import MODELS
from helpers import SMALL_BACKBONES, small_network, tiny_cnn, tiny_student

B, K = 4, 10


class TokenTeacher(nn.Module):
    """Tokens (B, N, C), and logits of their mean."""

    def __init__(self, channels=K):
        super().__init__()
        self.embed = nn.Conv2d(1, channels, 4, stride=4)
        self.tokens, self.fc = nn.LayerNorm(channels), nn.Linear(channels, K)

    def forward(self, x):
        return self.fc(self.tokens(self.embed(x).flatten(2).mT).mean(1))


class OtherSpiking(nn.Module):
    """Features (T, B, ...) from neurons of other people."""

    def __init__(self, time_steps=3):
        super().__init__()
        self.time_steps = time_steps
        self.conv, self.fc = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Linear(8, K)

    def forward(self, x):
        maps = self.conv(x)
        spikes = torch.stack([(maps * (t + 1)).gt(0.5).to(x.dtype) for t in range(self.time_steps)])
        return self.fc(spikes.mean((-2, -1)))


@MODELS.register_module()
class SeenLoss(DistillLoss):
    """What a loss of other people gets, and its time means."""

    def forward(self, student, teacher, target=None):
        self.seen = student, teacher, time_mean(student), time_mean(teacher)
        return student.sum()


@MODELS.register_module()
class TokenCosineLoss(DistillLoss):
    """That of the README."""

    def forward(self, student, teacher, target=None):
        return self.loss_weight * (1 - F.cosine_similarity(time_mean(student), teacher)).mean()


def build(network, losses, **options):
    torch.manual_seed(1)
    return Distiller(tiny_student(), FrozenTeacher(network, **options), losses, input_shape=(1, 8, 8))


def run(model):
    torch.manual_seed(2)
    return model(torch.randn(B, 1, 8, 8), [DataSample().set_gt_label(i) for i in range(B)], mode='loss')


def seen(network, path, **options):
    model = build(network, dict(loss_seen=dict(type='SeenLoss', student='head', teacher=path, loss_weight=1.0)),
                  **options)
    run(model)
    return model.losses.loss_seen.seen


def test_time_mean_of_what_nobody_has_marked():
    """Logits and maps, as losses are called by hand."""
    for shape in ((3, B, K), (3, B, 8, 5, 5)):
        x = torch.randn(shape)
        assert torch.equal(time_mean(x), x.mean(0)) and time_mean(x, has_time=False) is x
    for shape in ((B, K), (B, 8, 5, 5)):
        x = torch.randn(shape)
        assert time_mean(x) is x and torch.equal(time_mean(x, has_time=True), x.mean(0))


@pytest.mark.parametrize('has_time', [True, False])
@pytest.mark.parametrize('axes', range(2, 7))
def test_time_mean_of_what_is_marked(axes, has_time):
    x = mark_time(torch.randn(*range(2, axes + 2)), has_time)
    mean = time_mean(x)
    assert torch.equal(mean, x.mean(0) if has_time else x)
    assert time_mean(mean) is mean  # a mean has no time to be averaged again


def test_tokens_of_an_ann_are_not_averaged_over_the_batch():
    student, teacher, student_mean, teacher_mean = seen(TokenTeacher(), 'tokens')
    assert student.shape == (2, B, K) and torch.equal(student_mean, student.mean(0))
    assert teacher.shape == (B, 4, K) and teacher_mean is teacher


def test_tokens_of_a_real_vision_transformer():
    network = timm.create_model('vit_tiny_patch16_224', img_size=32, in_chans=1, num_classes=K)
    _, teacher, _, mean = seen(network, 'blocks.11', input_size=32)
    assert teacher.shape == (B, 5, 192) and mean is teacher
    _, teacher, _, mean = seen(network, 'head:input', input_size=32)
    assert teacher.shape == (B, 192) and mean is teacher


@pytest.mark.parametrize('dtype', [None, 'bfloat16'])
def test_features_of_a_spiking_teacher_are_averaged_whatever_their_axes(dtype):
    network = MODELS.build(tiny_student(T=5))
    for path, shape in (('head', (5, B, K)), ('head.fc:input', (5, B, 8)), ('backbone.layer2', (5, B, 8, 4, 4))):
        _, teacher, _, mean = seen(network, path, dtype=dtype, emulate=True)
        assert teacher.shape == shape and torch.equal(mean, teacher.mean(0)) and mean.dtype == torch.float32


def test_relu_twin_has_time_and_other_networks_say_so():
    twin = MODELS.build(tiny_student(T=5, neuron=dict(type='ReLU')))
    assert seen(twin, 'head')[1].has_time
    assert not seen(OtherSpiking(), 'conv')[1].has_time
    _, teacher, _, mean = seen(OtherSpiking(), 'fc', has_time=True)
    assert teacher.shape == (3, B, K) and torch.equal(mean, teacher.mean(0))
    images = torch.randn(B, 1, 8, 8)
    assert FrozenTeacher(OtherSpiking(), has_time=True)(images).shape == (B, K)
    assert FrozenTeacher(TokenTeacher())(images).shape == (B, K)


def test_an_ann_student_has_no_time():
    student = dict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain',
                   backbone=dict(type='ResNet', depth=18, in_channels=1, base_channels=4, stem_channels=4),
                   neck=dict(type='GlobalAveragePooling'),
                   head=dict(type='LinearClsHead', num_classes=K, in_channels=32))
    model = Distiller(student, FrozenTeacher(tiny_cnn()), input_shape=(1, 32, 32), losses=dict(
        loss_kd=dict(type='LogitsKDLoss', tau=2.0, student='head.fc', teacher='fc'),
        loss_bkd=dict(type='BKDLoss', student='backbone.layer4', teacher='stage2', loss_weight=1.0, resize='teacher')))
    model.parse_losses(model(torch.randn(B, 1, 32, 32), [DataSample().set_gt_label(i) for i in range(B)],
                             mode='loss'))[0].backward()


# ---- the losses of the package ----

LOGITS = [dict(type='LogitsKDLoss', tau=2.0), dict(type='WSLDLoss', tau=2.0)]
BKD = dict(type='BKDLoss', student='backbone.layer2', loss_weight=1e-2)


@pytest.mark.parametrize('loss', [*LOGITS, BKD, dict(BKD, resize='teacher')], ids=lambda loss: loss['type'])
@pytest.mark.parametrize('tokens', [1, 4])
def test_tokens_are_refused_when_the_model_is_built(loss, tokens):
    """Also where there are as many classes as channels, and as many tokens as samples."""
    network = TokenTeacher()
    if tokens == 1:
        network.embed = nn.Conv2d(1, K, 8)
    with pytest.raises(ValueError, match=r'model\.losses\.loss_x: .*\(1, ' + f'{tokens}, {K}' + r'\).*tokens'):
        build(network, dict(loss_x=dict(loss, teacher='tokens')))


@pytest.mark.parametrize('loss', LOGITS, ids=lambda loss: loss['type'])
def test_logits_losses_of_all_kinds_of_teachers(loss):
    logits = {}
    for name, network, path, options in (
            ('ANN', TokenTeacher(), 'fc', {}), ('spiking', MODELS.build(tiny_student(T=5)), 'head', {}),
            ('other', OtherSpiking(), 'fc', dict(has_time=True))):
        model = build(network, dict(loss_x=dict(loss, teacher=path)), **options)
        model.losses.loss_x.register_forward_pre_hook(lambda _, args: logits.update(student=args[0], teacher=args[1]))
        got = run(model)['loss_x']
        teacher = logits['teacher'].mean(0) if name != 'ANN' else logits['teacher']
        assert teacher.shape == (B, K)
        want = MODELS.build(loss)(logits['student'].detach().mean(0), teacher.detach().clone(), torch.arange(B))
        torch.testing.assert_close(got, want)
    with pytest.raises(ValueError, match=r'loss_x: .*\(3, 1, 10\).*model\.teacher\.has_time=True'):
        build(OtherSpiking(), dict(loss_x=dict(loss, teacher='fc')))


def test_bkd_of_all_kinds_of_teachers():
    features = {}
    for network, path, axes in (
            (TokenTeacher(6), 'fc:input', 2), (tiny_cnn(), 'stage2', 4),
            (MODELS.build(tiny_student(T=5)), 'head.fc:input', 2),
            (MODELS.build(tiny_student(T=5)), 'backbone.layer2', 4)):
        model = build(network, dict(loss_x=dict(BKD, teacher=path))).eval()
        model.losses.loss_x.register_forward_pre_hook(lambda _, args: features.update(student=args[0], teacher=args[1]))
        got, loss = run(model)['loss_x'], model.losses.loss_x
        student, teacher = features['student'].mean(0), features['teacher']
        teacher = teacher.mean(0) if teacher.has_time else teacher
        restored = loss.restore(loss.align(student))
        restored = restored.mean((-2, -1)) if axes == 2 else restored
        assert teacher.dim() == axes
        torch.testing.assert_close(got, 1e-2 * (restored - teacher).square().sum() / B)


def test_the_readmes_loss_works_for_ann_teachers():
    model = build(TokenTeacher(), dict(loss_cosine=dict(type='TokenCosineLoss', student='head', teacher='fc',
                                                        loss_weight=1.0)))
    student, teacher = model.student(x := torch.randn(B, 1, 8, 8)).mean(0), model.teacher(x)
    got = model(x, [DataSample().set_gt_label(i) for i in range(B)], mode='loss')['loss_cosine']
    torch.testing.assert_close(got, (1 - F.cosine_similarity(student, teacher)).mean())


@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
def test_all_backbones_are_known_to_have_time(backbone):
    model = small_network(backbone)[0]
    assert has_time_axis(model) and has_time_axis(model.backbone) and not has_time_axis(tiny_cnn())
