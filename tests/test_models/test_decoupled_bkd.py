"""BKD's decoupled form: its block learns from the mean-form distance, and the student gets alpha times its gradient."""
from functools import partial

import pytest
import torch
from mmengine.config import Config
from test_distiller import batch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from bkdsnn.config.methods import methods
from bkdsnn.models import BKDLoss, Distiller, FrozenTeacher
from bkdsnn.models.losses.bkd_loss import scale_gradient
from helpers import tiny_cnn, tiny_student

ALPHA = 8.0  # a power of two, so that products with it are exact


def make(teacher_channels=7, alpha=ALPHA, **kwargs):
    torch.manual_seed(0)
    return BKDLoss('a', 'b', 5, teacher_channels, **{
        'loss_weight': alpha, 'reduction': 'mean', 'decouple': True, 'blur_ratio': 0.4, **kwargs}).double()


def features(teacher_shape=(3, 7, 6, 6)):
    torch.manual_seed(1)
    return torch.randn(4, 3, 5, 6, 6).double(), torch.randn(teacher_shape).double()


def measure(loss, student, teacher, wrap=lambda loss: loss):
    """Value, the student's gradient, and those of the loss's own parameters by name."""
    torch.manual_seed(2)  # blur
    loss.zero_grad()
    student = student.clone().requires_grad_()
    value = wrap(loss)(student, teacher)
    value.backward()
    return value.detach(), student.grad, {name: p.grad.clone() for name, p in loss.named_parameters()}


def assert_same(got, want, **tolerance):
    for a, b in zip([*got[:2], *got[2].values()], [*want[:2], *want[2].values()]):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize('alpha', [0.3, 10.0])
def test_gradients_are_those_of_the_mean_form_and_alpha_times_for_the_student(alpha):
    """By the formula, written out: of the distance by the time mean and all parameters; by the last bias by hand."""
    loss, (student, teacher) = make(alpha=alpha), features()
    mask = torch.tensor([[1, 0, 1, 1, 0, 1, 1], [1] * 7, [0] * 7]).double()[..., None, None]
    weights = dict(loss.named_parameters())
    mean = student.mean(0).requires_grad_()
    aligned = F.conv2d(mean, weights['align.weight'], weights['align.bias'])
    hidden = F.relu(F.conv2d(mask * aligned, weights['restore.0.weight'], weights['restore.0.bias'], padding=1))
    restored = F.conv2d(hidden, weights['restore.2.weight'], weights['restore.2.bias'], padding=1)
    distance = (restored - teacher).pow(2).sum() / teacher.numel()
    of_mean, *of_weights = torch.autograd.grad(distance, [mean, *weights.values()])
    value, of_student, own = measure(loss, student, teacher, partial(partial, mask=mask))
    torch.testing.assert_close(value, distance.detach())
    torch.testing.assert_close(of_student, (alpha * of_mean / 4).expand_as(student))
    for name, want in zip(weights, of_weights):
        torch.testing.assert_close(own[name], want)
    by_hand = 2 * (restored - teacher).sum((0, 2, 3)) / teacher.numel()
    torch.testing.assert_close(own['restore.2.bias'], by_hand.detach())


FORMS = dict(map=(dict(), (3, 7, 6, 6)), vector=(dict(), (3, 7)), rescaled=(dict(rescale=True), (3, 7, 6, 6)),
             pooled=(dict(resize='student'), (3, 7, 3, 3)), same_channels=(dict(teacher_channels=5), (3, 5, 6, 6)),
             no_align=(dict(align=False), (3, 7, 6, 6)), no_block=(dict(restore=False), (3, 7, 6, 6)))


@pytest.mark.parametrize('form', FORMS)
def test_block_learns_as_with_a_weight_of_one_in_every_form(form):
    kwargs, shape = FORMS[form]
    coupled = measure(make(alpha=1.0, decouple=False, **kwargs), *features(shape))
    value, of_student, own = measure(make(**kwargs), *features(shape))
    assert_same((value, of_student / ALPHA, own), coupled, rtol=0, atol=0)
    assert own and of_student.abs().sum() > 0


@pytest.mark.parametrize('how', ['reentrant', 'checkpoint', 'compile'])
def test_recomputed_and_compiled_it_is_the_same(how):
    wrap = dict(reentrant=lambda loss: partial(checkpoint, loss, use_reentrant=True),
                checkpoint=lambda loss: partial(checkpoint, loss, use_reentrant=False),
                compile=lambda loss: torch.compile(loss, backend='aot_eager', fullgraph=True))[how]
    assert_same(measure(make(), *features(), wrap), measure(make(), *features()), rtol=1e-12, atol=1e-14)


def test_under_autocast_the_loss_is_fp32_and_the_factor_exact():
    results = []
    for loss in (make(), make(alpha=1.0, decouple=False)):
        with torch.autocast('cpu', torch.bfloat16):
            results.append(measure(loss.float(), *(x.float() for x in features())))
    (value, of_student, own), coupled = results
    assert value.dtype is torch.float32
    assert_same((value, of_student / ALPHA, own), coupled, rtol=0, atol=0)


def test_a_schedule_scales_the_students_gradient_alone():
    loss = make(alpha=dict(points=[(0, 0.0), (1, 16.0)]))
    results = []
    for progress in (0.0, 0.25, 0.5):
        loss.progress = progress
        results.append(measure(loss, *features()))
    (value, nothing, own), quarter, half = results
    assert not nothing.any() and own['restore.0.weight'].any()
    assert_same((value, 2 * quarter[1], own), half, rtol=0, atol=0)


def test_scaled_gradient_leaves_the_value_to_the_last_bit():
    x = torch.randn(1000, requires_grad=True)
    for factor in (0.0, 0.3, 1.0, 77.7):
        assert torch.equal(scale_gradient(x, factor), x)
        grad, = torch.autograd.grad(scale_gradient(x, factor).sum(), x)
        torch.testing.assert_close(grad, torch.full_like(x, factor))


def test_sum_form_cannot_be_decoupled():
    with pytest.raises(ValueError, match=r"decouple=True takes reduction='mean', not 'sum'.*C\*H\*W"):
        make(reduction='sum')


@pytest.mark.parametrize('method', ['bkd_decoupled', 'mixed_decoupled'])
def test_fragment_trains_a_student(method):
    taps = dict(student=dict(feature='backbone.layer2'), teacher=dict(feature='stage2', logits='fc'))
    found = []
    for decouple in (True, False):
        losses = Config.fromfile(methods()[method]).losses.to_dict()
        assert losses['loss_bkd']['decouple']
        losses['loss_bkd'].update(decouple=decouple)
        torch.manual_seed(1)
        model = Distiller(tiny_student(), FrozenTeacher(tiny_cnn()), losses, input_shape=(1, 8, 8), taps=taps)
        images, samples = batch()
        found.append(model.double()(images.double(), samples, mode='loss'))
        found[-1]['loss_bkd'].backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    decoupled, gradients, coupled, coupled_gradients = found
    torch.testing.assert_close(coupled['loss_bkd'], 10 * decoupled['loss_bkd'])
    for name, grad in gradients.items():
        scale = 10 if 'losses' in name else 1  # the same to the student
        torch.testing.assert_close(scale * grad, coupled_gradients[name])


def test_without_align_layer_or_block_it_is_the_formula_without_them():
    (student, teacher), mask = features(), torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0]).double()[None, :, None, None]
    direct = make(align=False, restore=False, teacher_channels=5, decouple=False)
    assert not list(direct.parameters())
    torch.testing.assert_close(direct(student, teacher[:, :5], mask=mask),
                               ALPHA * (student.mean(0) * mask - teacher[:, :5]).pow(2).mean())
    block = make(align=False)
    assert {name: tuple(p.shape) for name, p in block.named_parameters() if 'weight' in name} == {
        'restore.0.weight': (7, 5, 3, 3), 'restore.2.weight': (7, 7, 3, 3)}
    torch.testing.assert_close(block(student, teacher, mask=mask),
                               (block.restore(student.mean(0) * mask) - teacher).pow(2).mean())
    aligned = make(restore=False)
    assert {name for name, _ in aligned.named_parameters()} == {'align.weight', 'align.bias'}
    torch.testing.assert_close(aligned(student, teacher, mask=torch.ones(1, 7, 1, 1).double()),
                               (aligned.align(student.mean(0)) - teacher).pow(2).mean())
    with pytest.raises(ValueError, match='nothing brings the 5 channels of the student'):
        make(align=False, restore=False)
