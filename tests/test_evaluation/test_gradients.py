"""Gradients of loss terms, against those that a training step accumulates."""
import math

import pytest
import torch
from mmpretrain.structures import DataSample

from bkdsnn.evaluation.gradients import gradient_shares, loss_terms, shared_parameters
from bkdsnn.models.teachers import FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import tiny_cnn, tiny_student


def distiller(**losses):
    losses = losses or dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', resize='teacher', loss_weight=0.1),
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher='fc', tau=2.0))
    return MODELS.build(dict(type='Distiller', student=tiny_student(), teacher=FrozenTeacher(tiny_cnn()),
                             input_shape=(1, 8, 8), losses=losses))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return dict(inputs=torch.randint(0, 256, (6, 1, 8, 8), generator=generator).float(),
                data_samples=[DataSample().set_gt_label(i) for i in range(6)])


def test_terms_add_up_to_the_gradient_of_the_step():
    model, data = distiller().train(), batch(0)
    model.losses.loss_bkd.blur_ratio = 0.0  # so that both passes blur alike
    shares = gradient_shares(model, [data])
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    grads = {}
    for name, loss in loss_terms(losses).items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        grads[name] = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                                 for p in model.student.backbone.parameters()])
    total = sum(grad.norm() for grad in grads.values())
    assert list(shares) == ['loss_cls', 'loss_bkd', 'loss_kd'] and model.training
    for name, grad in grads.items():
        assert shares[name].norm == pytest.approx(grad.norm().item(), rel=1e-4)
        assert shares[name].share == pytest.approx((grad.norm() / total).item(), rel=1e-4)
        cosine = torch.cosine_similarity(grad, grads['loss_cls'], 0).item()
        assert shares[name].cosine == pytest.approx(cosine, abs=1e-4)
    assert sum(share.share for share in shares.values()) == pytest.approx(1)


def test_batches_are_averaged_and_weights_kept():
    model = distiller()
    before = {name: value.clone() for name, value in model.named_parameters()}
    both = gradient_shares(model, [batch(0), batch(1)], seed=3)
    alone = [gradient_shares(model, [batch(i)], seed=3)['loss_cls'].norm for i in (0, 1)]
    assert both['loss_cls'].norm == pytest.approx(sum(alone) / 2, rel=1e-4)
    assert all(torch.equal(value, before[name]) and value.grad is None for name, value in model.named_parameters())


def test_twice_the_weight_is_twice_the_pull():
    loss = dict(type='LogitsKDLoss', student='head', teacher='fc', tau=2.0)
    torch.manual_seed(0)
    single = gradient_shares(distiller(loss_kd=loss), [batch(0)])
    torch.manual_seed(0)
    double = gradient_shares(distiller(loss_kd=dict(loss, loss_weight=2.0)), [batch(0)])
    assert double['loss_kd'].norm == pytest.approx(2 * single['loss_kd'].norm, rel=1e-4)
    assert double['loss_kd'].cosine == pytest.approx(single['loss_kd'].cosine, abs=1e-4)


def test_random_numbers_of_the_caller_are_left_alone():
    state = torch.get_rng_state()
    first = gradient_shares(distiller(), [batch(0)])
    torch.set_rng_state(state)
    assert gradient_shares(distiller(), [batch(0)]) == first


def test_a_term_that_does_not_reach_the_backbone_has_no_direction():
    model = distiller()
    model.student.head.requires_grad_(True)
    for parameter in model.student.backbone.parameters():
        parameter.requires_grad_(False)
    model.student.backbone.stem.conv.weight.requires_grad_(True)
    model.losses.loss_kd.forward = lambda student, teacher, target=None: model.student.head.fc.weight.sum()
    found = gradient_shares(model, [batch(0)])['loss_kd']
    assert found.norm == 0 and found.share == 0 and math.isnan(found.cosine)
    assert len(shared_parameters(model.student)) == 1


def test_lists_of_losses_are_summed_as_in_training():
    terms = loss_terms(dict(loss_a=[torch.tensor([1.0, 3.0]), torch.tensor(4.0)], accuracy=torch.tensor(9.0)))
    assert list(terms) == ['loss_a'] and terms['loss_a'] == 6


def test_no_batch_is_an_error():
    with pytest.raises(ValueError, match='at least one batch'):
        gradient_shares(distiller(), [])
