"""Losses against closed forms: where no numbers of authors' code exist, and what options and parts are worth."""
from functools import partial

import pytest
import torch
from test_loss_edge_cases import logits
from torch import nn
from torch.nn import functional as F

from bkdsnn.models.layers import mark_time
from bkdsnn.models.losses import (
    KDSNNLoss,
    LAFLoss,
    LaSNNLoss,
    LogitsKDLoss,
    MEOMLoss,
    NLDLoss,
    SAMDLoss,
    Strong2WeakLoss,
    hta_kl_loss,
    kd_loss,
    nld_loss,
    progressive_loss,
    samd_loss,
)
from bkdsnn.models.losses.functional import soft_kl
from bkdsnn.models.losses.hta_kl_loss import head_share
from bkdsnn.models.losses.maps import attention_maps, pool_alike, pool_to, spatial_map
from bkdsnn.models.losses.samd_loss import activation_map, class_activation_map, scaled

# ---- noise ----

def test_noise_is_drawn_in_training_alone():
    z, teacher, _ = logits()
    loss = NLDLoss()
    assert loss(z, teacher) != loss(z, teacher)
    silent = nld_loss(z.mean(0), teacher, torch.zeros(3, 5, dtype=torch.float64), 2.0)
    torch.testing.assert_close(loss.eval()(z, teacher), silent)


@pytest.mark.parametrize('mixture', ['probabilities', 'logits'])
def test_without_noise_in_the_mixture_it_is_distillation(mixture):
    z, teacher, _ = logits()
    torch.testing.assert_close(NLDLoss(share=0.0, mixture=mixture)(z, teacher), LogitsKDLoss(2.0)(z, teacher))


def test_noise_among_the_logits_is_scaled_by_their_deviation():
    z, teacher, _ = logits(samples=1)
    z, noise = z.mean(0), torch.randn(1, 5, dtype=torch.float64)
    want = kd_loss(z + 0.1 * (z.mean() + noise * z.std()), teacher, 2.0)
    torch.testing.assert_close(nld_loss(z, teacher, noise, 2.0, mixture='logits'), want)


# ---- head and tail ----

def test_head_is_what_the_teacher_is_surest_of():
    """Of (0.1, 0.3, 0.4, 0.2) the third class alone is below a half; with the second they hold 0.7."""
    teacher = torch.tensor([[0.1, 0.3, 0.4, 0.2]], dtype=torch.float64)
    student = torch.tensor([[0.3, 0.4, 0.2, 0.1]], dtype=torch.float64)
    # Gaps 0.2, 0.1, 0.2, 0.1 of which 0.2 in the head.
    share = head_share(student.log(), teacher.log(), 1.0, 0.5)
    torch.testing.assert_close(share, torch.tensor([1 / 3], dtype=torch.float64))
    want = ((teacher * (teacher / student).log()).sum() + 2 * (student * (student / teacher).log()).sum()) / 3
    torch.testing.assert_close(hta_kl_loss(student.log(), teacher.log(), 1.0), want)
    # With 0.75 the two first ones are the head.
    torch.testing.assert_close(head_share(student.log(), teacher.log(), 1.0, 0.75).item(), 0.5)


def test_a_class_above_the_heads_probability_is_the_head():
    teacher, student = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    torch.testing.assert_close(head_share(student, teacher, 1.0, 0.5).item(), 0.5)


def test_equal_answers_have_no_head_tail_distance():
    z, _, _ = logits()
    value = hta_kl_loss(z[0], z[0].clone(), 2.0)
    assert value.abs() < 1e-12 and torch.autograd.grad(value, z)[0].abs().max() < 1e-12


# ---- several perspectives ----

def test_progressive_loss_is_its_closed_form():
    z, _, _ = logits(steps=3)
    one, two, three = z[0] / 2, z[:2].mean(0) / 2, z.mean(0) / 2
    want = 4 * (F.cross_entropy(one, two.detach().softmax(-1)) + F.cross_entropy(two, three.detach().softmax(-1))) / 2
    got = progressive_loss(z, 2.0)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, z), torch.autograd.grad(want, z))
    assert progressive_loss(z[:1], 2.0) == 0


def test_each_step_has_a_masked_view_of_the_teacher():
    z, feature, _ = logits()
    classifier = nn.Linear(5, 5).double().requires_grad_(False)
    mask = torch.rand(4, 3, 5) > 0.4
    loss = MEOMLoss(gamma=0.0, mix=0.3)
    views = [0.7 * classifier(feature) + 0.3 * classifier(feature * step) for step in mask]
    want = 0.5 * torch.stack([kd_loss(step, view, 3.0) for step, view in zip(z, views)]).mean()
    torch.testing.assert_close(loss(z, feature, classifier, mask=mask), want)
    plain = 0.5 * kd_loss(z, classifier(feature), 3.0)
    torch.testing.assert_close(loss(z, feature, classifier, mask=torch.ones_like(mask)), plain)
    torch.testing.assert_close(loss.eval()(z, feature, classifier), plain)
    loss.train()
    assert loss(z, feature, classifier) != loss(z, feature, classifier)


# ---- features ----

def test_student_whose_feature_is_the_teachers_needs_no_alignment():
    classifier = nn.Linear(6, 5).requires_grad_(False)
    feature = torch.rand(3, 6, requires_grad=True)
    maps = feature.detach().view(1, 3, 6, 1, 1).expand(2, 3, 6, 4, 4).clone().requires_grad_()
    same, other = LAFLoss(6, 6), LAFLoss(4, 6)
    value = same(maps, feature, classifier)
    assert value.abs() < 1e-6
    value.backward()
    assert feature.grad is None and classifier.weight.grad is None
    smaller = torch.rand(2, 3, 4, 4, 4, requires_grad=True)
    want = kd_loss(classifier(other.align(smaller.mean((0, -2, -1)))), classifier(feature), 2.0)
    got = other(smaller, feature, classifier)
    torch.testing.assert_close(got, want)
    got.backward()
    assert smaller.grad.abs().sum() > 0 and other.align.weight.grad.abs().sum() > 0


def test_teachers_classifier_keeps_its_precision():
    classifier = nn.Linear(6, 5).to(torch.bfloat16).requires_grad_(False)
    value = LAFLoss(6, 6)(torch.rand(2, 3, 6, 4, 4), torch.rand(3, 6), classifier)
    assert value.dtype == torch.float32


def test_autocast_leaves_activation_maps_as_they_are():
    student, teacher = torch.rand(2, 3, 4, 6, 6), dict(maps=torch.rand(3, 5, 6, 6), logits=torch.randn(3, 7))
    classifier = nn.Linear(5, 7)
    for loss in (partial(SAMDLoss(), teacher_part=classifier), lambda s, t: LaSNNLoss()([s], [t['maps']])):
        with torch.autocast('cpu', torch.bfloat16):
            value = loss(student, teacher)
        torch.testing.assert_close(value, loss(student, teacher))


@pytest.mark.parametrize('spikes', ['some', 'none', 'everywhere'])
def test_activation_maps_are_finite(spikes):
    student = torch.full((2, 3, 4, 6, 6), float(spikes == 'everywhere'), dtype=torch.float64)
    if spikes == 'some':
        student = (torch.rand_like(student) > 0.8).double()
    student.requires_grad_()
    teacher, classifier = torch.rand(3, 5, 6, 6, dtype=torch.float64), nn.Linear(5, 7).double()
    classifier.requires_grad_(False)
    scores = torch.randn(3, 7, dtype=torch.float64)
    value = SAMDLoss()(student, dict(maps=[None, teacher], logits=scores), classifier)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
    if spikes != 'some':  # flat either way
        cam = scaled(class_activation_map(teacher, classifier.weight[scores.argmax(-1)]))
        torch.testing.assert_close(value, samd_loss(torch.zeros_like(cam), cam, 2.0))


def test_grad_cam_of_a_pooled_classifier_is_what_autograd_says():
    student, teacher = torch.rand(2, 3, 4, 6, 6, dtype=torch.float64), torch.randn(3, 5, 6, 6, dtype=torch.float64)
    teacher.requires_grad_()
    classifier = nn.Linear(5, 7).double().requires_grad_(False)
    scores = classifier(teacher.mean((-2, -1)))
    gradient, = torch.autograd.grad(scores.amax(-1).sum(), teacher)
    cam = scaled(class_activation_map(teacher, gradient.mean((-2, -1))), per_sample=True)
    want = samd_loss(scaled(activation_map(student)), cam, 2.0)
    # There is 1e-8 in the scaling.
    torch.testing.assert_close(SAMDLoss(grad_cam=True)(student, dict(maps=teacher, logits=scores), classifier), want,
                               rtol=1e-5, atol=0)


@pytest.mark.parametrize('classifier, what', [
    (nn.Linear(4, 7), 'reads 4'), (nn.Sequential(nn.Linear(5, 7)), 'is a Sequential')])
def test_class_activation_without_a_fitting_classifier_is_an_error(classifier, what):
    teacher = dict(maps=torch.rand(3, 5, 6, 6), logits=torch.randn(3, 7))
    with pytest.raises(ValueError, match=f'linear classifier of the 5 channels.*{what}.*model.losses'):
        SAMDLoss()(torch.rand(2, 3, 4, 6, 6), teacher, classifier)


def test_silent_stage_is_as_far_as_a_map_is_long():
    student = [torch.zeros(2, 3, 4, 6, 6, requires_grad=True), torch.rand(2, 3, 4, 3, 3, requires_grad=True)]
    teacher = [torch.rand(3, 5, 6, 6), student[1].mean(0).detach()]
    value = LaSNNLoss()(student, teacher)
    torch.testing.assert_close(value, torch.tensor(1.0))  # and no distance of the second
    value.backward()
    assert student[0].grad.abs().max() == 0


def test_attention_maps_see_neither_channels_nor_scale():
    student, teacher = torch.rand(3, 4, 6, 6), torch.rand(3, 8, 3, 3)
    own, other = attention_maps(student, teacher)
    assert own.shape == other.shape == (3, 9)
    torch.testing.assert_close(own, attention_maps(5 * student[:, [2, 1, 0, 3]], teacher)[0])
    torch.testing.assert_close(own.norm(dim=1), torch.ones(3))
    want = F.adaptive_avg_pool2d(student, 3).square().mean(1).flatten(1)
    torch.testing.assert_close(own, want / want.norm(dim=1, keepdim=True))


def test_stages_make_pairs():
    maps = torch.rand(2, 3, 4, 6, 6)
    with pytest.raises(ValueError, match='2 stages of the student.*3 of the teacher'):
        LaSNNLoss()([maps] * 2, [maps] * 3)


def test_tokens_of_a_square_are_a_map():
    maps = torch.rand(2, 3, 4, 4)
    tokens = maps.flatten(2).mT
    assert torch.equal(spatial_map(tokens), maps) and spatial_map(maps) is maps
    assert torch.equal(spatial_map(torch.cat([torch.rand(2, 1, 3), tokens], dim=1)), maps)
    for shape in ((2, 18, 3), (2, 0, 3), (2, 3)):
        with pytest.raises(ValueError, match='which is no map'):
            spatial_map(torch.rand(shape))


def test_maps_of_two_sizes_are_pooled_to_the_smaller_one():
    a, b = torch.rand(2, 3, 6, 2), torch.rand(2, 5, 3, 4)
    pooled = pool_alike(a, b)
    assert pooled[0].shape == (2, 3, 3, 2) and pooled[1].shape == (2, 5, 3, 2)
    same = pool_alike(a, a)
    assert same[0] is a and same[1] is a


def test_features_of_other_sizes_and_tokens_are_compared():
    student, teacher = torch.rand(2, 3, 4, 6, 6), torch.rand(3, 4, 3, 3)
    loss = KDSNNLoss(4, 4, loss_weight=1.0)
    want = (F.adaptive_avg_pool2d(student.mean(0), 3) - teacher).square().sum() / 3
    torch.testing.assert_close(loss(student, teacher), want)
    torch.testing.assert_close(loss(student, mark_time(teacher.flatten(2).mT, False)), want)
    with pytest.raises(ValueError, match='takes a student map'):
        loss(torch.rand(2, 3, 4), teacher)


# ---- pairs of steps ----

def test_surest_step_stays_where_it_teaches():
    z, _, _ = logits(steps=2)
    sure = torch.cat([5 * z[:1], z[1:]]).detach().requires_grad_()
    for direction, learning, teaching in (('strong_to_weak', 1, 0), ('weak_to_strong', 0, 1)):
        value = Strong2WeakLoss(direction)(sure)
        torch.testing.assert_close(value, soft_kl(sure[learning], sure[teaching], 2.0))
        gradient, = torch.autograd.grad(value, sure)
        assert gradient[learning].abs().sum() > 0 and gradient[teaching].abs().sum() == 0
    gradient, = torch.autograd.grad(Strong2WeakLoss(detach=False)(sure), sure)
    assert all(gradient[step].abs().sum() > 0 for step in (0, 1))


def test_cascade_of_two_steps_is_one_pair():
    z, _, _ = logits(steps=2)
    torch.testing.assert_close(Strong2WeakLoss(cascade=True)(z), Strong2WeakLoss()(z))


@pytest.mark.parametrize('size, to', [
    ((7, 5), (3, 2)), ((8, 8), (4, 4)), ((6, 9), (6, 4)), ((5, 5), 1), ((3, 4), (5, 4))])
def test_pooling_is_the_same_in_any_order_of_sums_and_in_the_precision_of_the_map(size, to):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found = []
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            y = pool_to(x, to)
            found.append((y, *torch.autograd.grad(y.square().sum(), x)))
            with torch.autocast('cpu', torch.bfloat16):
                assert pool_to(x.detach().float(), to).dtype == torch.float32
        finally:
            torch.use_deterministic_algorithms(False)
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
