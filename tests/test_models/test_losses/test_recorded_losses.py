"""Losses of other authors against the numbers recorded from their code: values and gradients."""
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import golden
from bkdsnn.models.losses import (
    ETCLoss,
    HSDLoss,
    KDSNNLoss,
    NLDLoss,
    SAMDLoss,
    SeAlLoss,
    StepwiseCELoss,
    Strong2WeakLoss,
    TETLoss,
    TKSLoss,
    TWDLoss,
    esd_loss,
    samd_loss,
)
from bkdsnn.models.losses.functional import sum_of_right
from bkdsnn.models.losses.samd_loss import activation_map, class_activation_map, scaled
from bkdsnn.models.losses.seal_loss import align_errors
from bkdsnn.models.losses.strong2weak_loss import confidences


def number(case, name):
    return case[f'meta/{name}'].item()


def task(logits, label):
    return F.cross_entropy(logits.mean(0), label)


def twd(case, logits, teacher, label, loss=TWDLoss):
    loss = loss(**{name: number(case, name) for name in ('tau', 'alpha', 'beta')})
    return StepwiseCELoss()(logits, label) + loss(logits, teacher, label)


def seal(case, logits, teacher, label):
    return twd(case, logits, teacher, label, SeAlLoss)


def nld(case, logits, teacher):
    loss = NLDLoss(tau=number(case, 'tau'), share=1 - number(case, 'noise_weight'))
    return loss(logits, teacher, noise=case['in/noise'])


def samd(case, student, teacher):
    if 'cam_grad' in case['name']:
        cam = class_activation_map(teacher, case['in/teacher_feat_grad'].mean((-2, -1)))
        return samd_loss(scaled(activation_map(student)), scaled(cam, per_sample=True), number(case, 'tau'))
    classifier = nn.Linear(*case['in/teacher_fc_weight'].T.shape, bias=False)
    classifier.weight = nn.Parameter(case['in/teacher_fc_weight'], requires_grad=False)
    return SAMDLoss(tau=number(case, 'tau'))(student, dict(maps=teacher, logits=case['in/teacher_logits']), classifier)


def tks(case, logits, label):
    loss = TKSLoss(number(case, 'tau'), number(case, 'alpha'), detach=bool(number(case, 'detach')))
    loss.epoch_progress = number(case, 'epoch') / number(case, 'epochs')
    return loss(logits, label)


def strong2weak(case, logits, label):
    loss = Strong2WeakLoss(
        dict(s2w='strong_to_weak', w2s='weak_to_strong')[str(case['meta/mode'])], 'cascade' in case['name'],
        tau=number(case, 'alpha'), loss_weight=number(case, 'lam'), detach=bool(number(case, 'detach')),
        tau_squared=bool(number(case, 'tau_squared')), reduction=str(case['meta/reduction']))
    return task(logits, label) + loss(logits)


LOGITS, TEACHER, LABEL = 'student_logits', 'teacher_logits', 'label'
# How each is called, and with which of the recorded inputs.
METHODS = dict(
    loss_twd=(twd, LOGITS, TEACHER, LABEL),
    loss_seal=(seal, LOGITS, TEACHER, LABEL),
    loss_nld=(nld, LOGITS, TEACHER),
    loss_samd=(samd, 'student_feat', 'teacher_feat'),
    loss_tks=(tks, LOGITS, LABEL),
    loss_hsd=(lambda case, z, teacher, label: task(z, label) + HSDLoss(number(case, 'tau'))(z, teacher),
              LOGITS, TEACHER, LABEL),
    loss_tet=(lambda case, z, label: TETLoss(number(case, 'lamb'), number(case, 'means'))(z, label), LOGITS, LABEL),
    loss_etc=(lambda case, z: ETCLoss(number(case, 'tau'))(z), LOGITS),
    loss_strong2weak=(strong2weak, LOGITS, LABEL),
    loss_esd=(lambda case, z, label: esd_loss(z, label, *(number(case, name) for name in ('tau', 'alp', 'beta')))
              / number(case, 'T'), 'branch_logits', LABEL))
# Where the authors compute in single precision in between.
COARSE = ('loss_twd', 'loss_esd')


def load(name, case, dtype=torch.float64):
    return dict(golden.load(name, case, dtype), name=case)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('name, case', [(name, case) for name in METHODS for case in golden.cases(name)])
def test_loss_equals_the_recorded_one(name, case, dtype):
    case, (loss, *inputs) = load(name, case, dtype), METHODS[name]
    inputs = {key: case[f'in/{key}'] for key in inputs}
    for key, value in inputs.items():
        value.requires_grad_(value.is_floating_point() and key != LABEL)
    value = loss(case, *inputs.values())
    exact = dtype is torch.float64
    assert value.dtype == dtype
    torch.testing.assert_close(value.double(), case['out/loss'], rtol=1e-9 if exact else 1e-5, atol=0)
    value.backward()
    tolerance = (1e-6 if name in COARSE else 1e-7) if exact else 1e-4
    for key, value in inputs.items():
        if 'teacher' in key:
            assert value.grad is None
        elif value.requires_grad:
            golden.assert_close(value.grad.double(), case[f'grad/{key}'], tolerance, key)


@pytest.mark.parametrize('case', golden.cases('loss_twd'))
def test_target_of_the_right_steps_equals_the_recorded_one(case):
    case = load('loss_twd', case)
    total, count = sum_of_right(case['in/student_logits'], case['in/label'])
    golden.assert_close(total / count.clamp(min=1).unsqueeze(-1), case['out/z_self'], 1e-6)


@pytest.mark.parametrize('case', golden.cases('loss_seal'))
def test_aligned_errors_equal_the_recorded_ones(case):
    case = load('loss_seal', case)
    student, teacher = align_errors(case['in/student_logits'], case['in/teacher_logits'], case['in/label'])
    assert torch.equal(student, case['out/student_aligned']) and torch.equal(teacher, case['out/teacher_aligned'])


@pytest.mark.parametrize('case', golden.cases('loss_strong2weak'))
def test_confidences_equal_the_recorded_ones(case):
    case = load('loss_strong2weak', case)
    golden.assert_close(confidences(case['in/student_logits']), case['out/confidence'], 1e-9)


@pytest.mark.parametrize('case', golden.cases('loss_esd'))
def test_teacher_of_the_branches_equals_the_recorded_one(case):
    case = load('loss_esd', case)
    total, count = sum_of_right(case['in/branch_logits'], case['in/label'])
    golden.assert_close(total / count.clamp(min=1).unsqueeze(-1), case['out/teacher'], 1e-6)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('name', ['same', 'align'])
@pytest.mark.parametrize('kind', ['loss_kdsnn', 'loss_mse'])
def test_feature_loss_equals_the_recorded_one(kind, name, dtype):
    """With a map and the sum over it, and with a vector and the mean; recorded in single precision."""
    case = golden.load(kind, name, dtype)
    student, teacher = case['in/student'].requires_grad_(), case['in/teacher'].requires_grad_()
    how = dict(loss_weight=number(case, 'alpha')) if kind == 'loss_kdsnn' else dict(loss_weight=1.0, reduction='mean')
    loss = KDSNNLoss(student.shape[1], teacher.shape[1], **how).to(dtype)
    loss.load_state_dict({key[len('state/'):]: value for key, value in case.items() if key.startswith('state/')})
    value = loss(student, teacher)
    np.testing.assert_allclose(value.item(), case['out/loss'].item(), rtol=1e-5)
    value.backward()
    assert teacher.grad is None
    golden.assert_close(student.grad, case['grad/student'], 1e-4, 'student')
    for key, parameter in loss.named_parameters():
        golden.assert_close(parameter.grad, case[f'grad/{key}'], 1e-4, key)


def stepwise(loss):
    """Beside the cross-entropy of each step."""
    return lambda z, teacher, label: StepwiseCELoss()(z, label) + loss(z, teacher, label)


@pytest.mark.parametrize('case, loss', [
    ('loss_twd/mixed_right__default', lambda case: stepwise(TWDLoss())),
    ('loss_seal/mixed_right__default', lambda case: stepwise(SeAlLoss())),
    ('loss_hsd/tau2', lambda case: lambda z, teacher, label: task(z, label) + HSDLoss()(z, teacher)),
    ('loss_etc/tau4', lambda case: ETCLoss()),
    ('loss_tet/hard__lamb0.001_means1.0', lambda case: TETLoss()),
    ('loss_nld/w0.9__tau2', lambda case: partial(NLDLoss(), noise=case['in/noise'])),
    ('loss_strong2weak/s2w__detached', lambda case: lambda z, label: task(z, label) + Strong2WeakLoss()(z))])
def test_defaults_are_those_that_were_recorded(case, loss):
    name, case = case.split('/')
    case = load(name, case)
    inputs = [case[f'in/{key}'] for key in METHODS[name][1:]]
    torch.testing.assert_close(loss(case)(*inputs), case['out/loss'], rtol=1e-9, atol=0)
