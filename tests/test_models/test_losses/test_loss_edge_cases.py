"""What losses are worth where their formula alone does not say, and what all of them have in common."""
import math
from functools import partial
from inspect import signature

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bkdsnn.models.losses import (
    ESDLoss,
    ETCLoss,
    HSDLoss,
    HTAKLLoss,
    KDSNNLoss,
    LAFLoss,
    LaSNNLoss,
    MEOMLoss,
    NLDLoss,
    SAMDLoss,
    SeAlLoss,
    StepwiseCELoss,
    Strong2WeakLoss,
    TETLoss,
    TKSLoss,
    TWDLoss,
    esd_loss,
    kd_loss,
)
from bkdsnn.models.losses.seal_loss import temporal_targets


def halfway(loss):
    """In the middle of training."""
    loss.epoch_progress = loss.progress = 0.5
    return loss.eval()


# All that compare logits: the student's (T, B, K), the teacher's (B, K), labels (B,).
LOGITS = dict(
    stepwise=lambda z, teacher, y: StepwiseCELoss()(z, y),
    twd=lambda z, teacher, y: TWDLoss()(z, teacher, y),
    seal=lambda z, teacher, y: SeAlLoss()(z, teacher, y),
    nld=lambda z, teacher, y: NLDLoss().eval()(z, teacher),
    nld_of_logits=lambda z, teacher, y: NLDLoss(mixture='logits').eval()(z, teacher),
    tks=lambda z, teacher, y: halfway(TKSLoss())(z, y),
    hsd=lambda z, teacher, y: HSDLoss()(z, teacher),
    hta_kl=lambda z, teacher, y: HTAKLLoss()(z, teacher),
    tet=lambda z, teacher, y: TETLoss(lamb=0.1)(z, y),
    etc=lambda z, teacher, y: ETCLoss()(z),
    strong2weak=lambda z, teacher, y: Strong2WeakLoss()(z),
    weak2strong=lambda z, teacher, y: Strong2WeakLoss('weak_to_strong', cascade=True, detach=False)(z),
    meom=lambda z, teacher, y: MEOMLoss().eval()(z, teacher, nn.Identity()),
    esd=lambda z, teacher, y: esd_loss(z, y, tau=3.0, alpha=1.0, beta=0.3))
LABELS_ALONE = ('twd', 'seal', 'tks', 'esd')
# Of a single step there is nothing to compare.
OF_TWO_STEPS = ('etc', 'strong2weak', 'weak2strong')


def logits(steps=4, samples=3, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(steps, samples, classes, dtype=torch.float64, generator=generator)
    teacher = 3 * torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    return z.requires_grad_(), teacher.requires_grad_(), torch.arange(samples) % classes


def value_and_gradient(name, z, teacher, y):
    """Both finite, and no gradient for the teacher."""
    value = LOGITS[name](z, teacher, y)
    gradient, = torch.autograd.grad(value, z, retain_graph=True)
    assert value.shape == () and value.isfinite() and gradient.isfinite().all()
    if value.grad_fn is not None:
        value.backward()
    assert teacher.grad is None
    return value.detach(), gradient


@pytest.mark.parametrize('name', LOGITS)
@pytest.mark.parametrize('shape', [dict(), dict(steps=1), dict(classes=2), dict(samples=1),
                                   dict(steps=1, classes=2, samples=1)], ids=str)
def test_losses_are_finite_for_one_step_two_classes_and_one_sample(name, shape):
    value, gradient = value_and_gradient(name, *logits(**shape))
    if shape.get('steps') == 1 and name in OF_TWO_STEPS:
        assert value == 0 and gradient.abs().max() < 1e-12
    else:
        assert value > 0 and gradient.abs().sum() > 0


@pytest.mark.parametrize('answers', ['no step is right', 'the teacher is wrong', 'the student is silent',
                                     'the teacher is silent', 'all are sure'])
@pytest.mark.parametrize('name', LOGITS)
def test_losses_are_finite_where_networks_err_or_are_silent(name, answers):
    z, teacher, y = (x.detach() for x in logits())
    if answers == 'no step is right':
        z[..., y] -= 100
    elif answers == 'the teacher is wrong':
        teacher[:, y] -= 100
    elif answers == 'the student is silent':
        z.zero_()
    elif answers == 'the teacher is silent':
        teacher.zero_()
    else:
        z, teacher = 1e3 * z, 1e3 * teacher
    value, gradient = value_and_gradient(name, z.requires_grad_(), teacher.requires_grad_(), y)
    if answers == 'the student is silent':
        # All steps are alike; what has labels or a teacher still pulls.
        assert (value == 0) == (name in OF_TWO_STEPS) and (gradient.abs().max() < 1e-12) == (name in OF_TWO_STEPS)


@pytest.mark.parametrize('name', LOGITS)
def test_soft_labels_are_taken_or_refused(name):
    z, teacher, y = logits()
    soft = F.one_hot(y, z.shape[-1]).float()
    if name in LABELS_ALONE:
        with pytest.raises(ValueError, match='must be labels'):
            LOGITS[name](z, teacher, soft)
        return
    torch.testing.assert_close(LOGITS[name](z, teacher, soft), LOGITS[name](z, teacher, y))


def test_losses_that_need_labels_say_so():
    for loss in (StepwiseCELoss, TWDLoss, SeAlLoss, NLDLoss, TKSLoss, HSDLoss, HTAKLLoss, TETLoss, ETCLoss, ESDLoss,
                 Strong2WeakLoss, MEOMLoss, LAFLoss, SAMDLoss, KDSNNLoss, LaSNNLoss):
        assert loss.needs_labels == (loss in (TWDLoss, SeAlLoss, TKSLoss, ESDLoss))


@pytest.mark.parametrize('name', LOGITS)
@given(st.permutations(range(5)), st.permutations(range(3)))
@settings(max_examples=5)
def test_neither_the_order_of_classes_nor_that_of_samples_counts(name, classes, samples):
    z, teacher, y = logits()
    renamed = torch.tensor(classes).argsort()[y]
    got = LOGITS[name](z[:, samples][..., classes], teacher[samples][:, classes], renamed[samples])
    torch.testing.assert_close(got, LOGITS[name](z, teacher, y))


@pytest.mark.parametrize('name', LOGITS)
@pytest.mark.parametrize('student, teacher', [(torch.bfloat16, torch.float16), (torch.float32, torch.float64)])
def test_losses_are_computed_in_full_precision(name, student, teacher):
    z, target, y = logits()
    value = LOGITS[name](z.to(student), target.to(teacher), y)
    assert value.dtype in (torch.float32, torch.float64)
    torch.testing.assert_close(value.double(), LOGITS[name](z, target, y), rtol=5e-2, atol=1e-2)


@pytest.mark.parametrize('name', LOGITS)
def test_autocast_leaves_the_losses_as_they_are(name):
    z, teacher, y = logits()
    z, teacher = z.float(), teacher.float()
    with torch.autocast('cpu', torch.bfloat16):
        value = LOGITS[name](z, teacher, y)
    torch.testing.assert_close(value, LOGITS[name](z, teacher, y))


@pytest.mark.parametrize('build', [TWDLoss, SeAlLoss, NLDLoss, HSDLoss, HTAKLLoss, partial(MEOMLoss, gamma=0.0)])
def test_standardised_logits_are_compared_by_their_shape_alone(build):
    z, teacher, y = logits()
    loss = build(standardise=True).eval()
    rest = dict(target=y, teacher_part=nn.Identity())
    rest = {name: value for name, value in rest.items() if name in signature(loss.forward).parameters}
    torch.testing.assert_close(loss(3 * z + 1, teacher / 2 - 1, **rest), loss(z, teacher, **rest), rtol=1e-5, atol=0)


@pytest.mark.parametrize('name', [name for name in LOGITS if name not in ('nld', 'nld_of_logits', 'hta_kl', 'esd')])
def test_logits_without_time_are_named(name):
    z, teacher, y = logits()
    with pytest.raises(ValueError, match=r'each time step.*\(T, B, K\)'):
        LOGITS[name](z[0], teacher, y)


# ---- values of the edge cases ----

def test_twd_without_a_right_step_pulls_to_the_uniform_distribution():
    z, teacher, y = logits()
    wrong = z.detach().argmax(-1)
    y = torch.tensor([next(k for k in range(5) if k not in wrong[:, b]) for b in range(3)])
    want = 0.2 * kd_loss(z, teacher, 3.0) + 0.5 * kd_loss(z, torch.zeros(3, 5), 3.0)
    torch.testing.assert_close(TWDLoss()(z, teacher, y), want)


def test_twd_of_one_right_step_is_distillation_alone():
    z, teacher, _ = logits(steps=1)
    torch.testing.assert_close(TWDLoss()(z, teacher, z[0].argmax(-1)), 0.2 * kd_loss(z, teacher, 3.0))


def test_tks_without_a_right_step_pulls_to_the_uniform_distribution():
    z, _, y = logits()
    z = z.detach()
    z[..., y] -= 100
    loss = TKSLoss(alpha=0.3, static=True)
    want = 0.3 * F.cross_entropy(z.mean(0), y) - 0.7 * 9 * z.log_softmax(-1).mean()
    torch.testing.assert_close(loss(z, y), want)


def test_tks_follows_whole_epochs_from_the_task_loss_to_its_share():
    z, _, y = logits()
    loss, values = TKSLoss(alpha=0.7), []
    assert loss.changes and not TKSLoss(static=True).changes
    for epoch_progress in (0.0, 0.5, 1.0):
        loss.epoch_progress, loss.progress = epoch_progress, 0.99
        values.append(loss(z, y))
    torch.testing.assert_close(values[0], F.cross_entropy(z.mean(0), y))
    torch.testing.assert_close(values[1], (values[0] + values[2]) / 2)


def test_seal_of_one_step_that_is_right_is_distillation_alone():
    z, teacher, _ = logits(steps=1)
    torch.testing.assert_close(SeAlLoss()(z, teacher, z[0].argmax(-1)), 0.6 * kd_loss(z, teacher, 3.0))


def test_seal_learns_nothing_of_both_classes_where_two_are_confused():
    """Both answers are evened out on both sides, so that of two classes nothing is left."""
    z, teacher, _ = logits(classes=2)
    wrong = 1 - z.argmax(-1)[0]
    loss = SeAlLoss(beta=0.0)
    assert loss(z[:1], teacher, wrong) == 0
    gradient, = torch.autograd.grad(loss(z[:1], teacher, wrong), z)
    assert gradient.abs().max() < 1e-12


def test_seal_of_two_steps_takes_the_other_one_for_target():
    z, _, _ = logits(steps=2)
    torch.testing.assert_close(temporal_targets(z), z.flip(0))


def test_esd_without_a_right_branch_is_its_cross_entropies():
    z, _, y = logits()
    z = z.detach()
    z[..., y] -= 100
    want = 0.7 * sum(F.cross_entropy(branch, y) for branch in z)
    torch.testing.assert_close(esd_loss(z, y, tau=3.0, alpha=0.7, beta=0.3), want)


def test_esd_leaves_samples_out_that_no_branch_knows():
    z, _, _ = logits()
    y = z[0].argmax(-1)
    y[0] = next(k for k in range(5) if k not in z[:, 0].argmax(-1))
    part = [esd_loss(z[:, samples], y[samples], tau=3.0, alpha=0.0, beta=1.0) for samples in ([0, 1, 2], [1, 2])]
    torch.testing.assert_close(*part)


def test_esd_has_a_branch_for_each_stage_but_the_last():
    loss = ESDLoss(dict(stages=[4, 6, 8], logits=5))
    stages = [torch.rand(2, 3, channels, size, size, requires_grad=True) for channels, size in
              ((4, 8), (6, 4), (8, 2))]
    z = torch.randn(2, 3, 5, requires_grad=True)
    assert len(loss.branches) == 2
    loss(dict(stages=stages, logits=z), torch.tensor([0, 1, 2])).backward()
    assert all(stage.grad.abs().sum() > 0 for stage in stages[:2]) and stages[2].grad is None
    assert all(parameter.grad.isfinite().all() for parameter in loss.parameters())
    answers = torch.stack([*(branch(stage.mean(0)) for branch, stage in zip(loss.branches, stages)), z.mean(0)])
    torch.testing.assert_close(loss(dict(stages=stages, logits=z), torch.tensor([0, 1, 2])),
                               esd_loss(answers, torch.tensor([0, 1, 2]), 3.0, 1.0, 0.3) / 2)


def test_etc_of_two_steps_is_the_mean_of_both_directions():
    z, _, _ = logits(steps=2)
    want = (kd_loss(z[0], z[1], 4.0) + kd_loss(z[1], z[0], 4.0)) / 2
    torch.testing.assert_close(ETCLoss()(z), want)


def test_tet_of_logits_at_the_threshold_is_its_cross_entropy():
    z = torch.full((2, 3, 4), 1.0)
    torch.testing.assert_close(TETLoss(lamb=0.5)(z, torch.tensor([0, 1, 2])).item(), 0.5 * math.log(4))


def test_label_smoothing_of_steps_is_that_of_their_mean_loss():
    z, _, y = logits()
    want = torch.stack([F.cross_entropy(step, y, label_smoothing=0.1) for step in z]).mean()
    torch.testing.assert_close(StepwiseCELoss(label_smoothing=0.1)(z, y), want)


@pytest.mark.parametrize('build, words', [
    (lambda: TWDLoss(alpha=-1), 'alpha=-1 must be'),
    (lambda: SeAlLoss(beta=float('nan')), 'beta=nan must be'),
    (lambda: MEOMLoss(mix=2.0), 'mix=2.0 must be'),
    (lambda: MEOMLoss(mask_ratio=1.0), 'mask_ratio=1.0'),
    (lambda: TKSLoss(alpha=0.0), 'alpha=0.0 must be'),
    (lambda: TKSLoss(alpha=1.0, static=True), 'alpha=1.0 must be .* with static=True below it'),
    (lambda: SAMDLoss()(torch.rand(2, 3, 4, 4), dict(maps=[torch.rand(2, 5, 4, 4)], logits=None), None),
     r'SAMDLoss: student feature .*\(2, 3, 4, 4\).* takes a student map \(T, B, C, H, W\)'),
    (lambda: TETLoss(lamb=1.5), 'lamb=1.5 must be'),
    (lambda: NLDLoss(share=1.0), 'share=1.0 must be'),
    (lambda: NLDLoss(mixture='neither'), "mixture='neither'"),
    (lambda: HSDLoss(reduction='sum'), "reduction='sum' is unknown"),
    (lambda: HTAKLLoss(head=1.0), 'head=1.0 must be'),
    (lambda: KDSNNLoss(4, 4, reduction='max'), "reduction='max' is unknown"),
    (lambda: Strong2WeakLoss('upwards'), "direction='upwards' is unknown"),
    (lambda: Strong2WeakLoss(reduction='sum'), "reduction='sum' is unknown"),
    (lambda: ETCLoss(tau=0.0), 'tau=0.0 must be'),
    (lambda: StepwiseCELoss(label_smoothing=-0.1), 'label_smoothing=-0.1 must be')])
def test_bad_arguments_are_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
