"""General distillation losses: against the numbers recorded from their authors' code, and at their edges."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from test_distiller import batch
from torch.nn import functional as F

import golden
from bkdsnn.config.methods import methods
from bkdsnn.models import (
    ATLoss,
    Distiller,
    DISTLoss,
    DKDLoss,
    FrozenTeacher,
    HardLogitsKDLoss,
    LogitsKDLoss,
    ReviewKDLoss,
    RKDLoss,
    SoftTokenKDLoss,
    WSLDLoss,
    at_loss,
    dist_loss,
    dkd_loss,
    hcl_loss,
    kd_loss,
    rkd_loss,
    spatial_map,
)
from bkdsnn.models.layers import mark_time
from helpers import tiny_cnn, tiny_student

FRAGMENTS = ('dkd', 'logit_std', 'dist', 'at', 'rkd', 'reviewkd')
LABELS = torch.tensor([1, 0, 3, 2, 1])


def recorded(*files):
    """Every case of the files, in both precisions."""
    return pytest.mark.parametrize('file, name, dtype', [
        (file, name, dtype) for file in files for name in golden.cases(file)
        for dtype in (torch.float64, torch.float32)])


def check(value, case, **inputs):
    """Compare a loss, and its gradients to what is named as the case names it."""
    exact = value.dtype is torch.float64
    torch.testing.assert_close(value, case['out/loss'].to(value.dtype), rtol=1e-9 if exact else 1e-5, atol=0)
    value.backward()
    for name, x in inputs.items():
        golden.assert_close(x.grad, case[f'grad/{name}'].to(x.dtype), 1e-7 if exact else 1e-4, name)


def numbers(case, *names):
    return {name: float(case[f'meta/{name}']) for name in names}


@recorded('loss_dkd', 'loss_logit_std', 'loss_dist')
def test_logits_loss_equals_the_recorded_one(file, name, dtype):
    case = golden.load(file, name, dtype)
    student, teacher = case['in/student_logits'].requires_grad_(), case['in/teacher_logits'].requires_grad_()
    standardise = bool(case.get('meta/standardise', False))
    if 'meta/alpha' in case:
        loss = DKDLoss(**numbers(case, 'tau', 'alpha', 'beta'), standardise=standardise)
    elif file == 'loss_dist':
        loss = DISTLoss(**numbers(case, 'tau', 'beta', 'gamma'))
    else:
        loss = LogitsKDLoss(**numbers(case, 'tau'), standardise=standardise)
    target = [case['in/label']] if isinstance(loss, DKDLoss) else []
    check(loss(student, teacher, *target), case, student_logits=student)
    assert teacher.grad is None


@recorded('loss_at', 'loss_rkd')
def test_feature_loss_equals_the_recorded_one(file, name, dtype):
    case = golden.load(file, name, dtype)
    student, teacher = case['in/student_feat'].requires_grad_(), case['in/teacher_feat'].requires_grad_()
    loss = ATLoss(**numbers(case, 'p')) if file == 'loss_at' else RKDLoss(
        **numbers(case, 'distance_weight', 'angle_weight'))
    check(loss(student, teacher), case, student_feat=student)
    assert teacher.grad is None


@recorded('loss_reviewkd')
def test_reviewkd_equals_the_recorded_one(file, name, dtype):
    case = golden.load(file, name, dtype)
    if name.startswith('hcl'):
        student = case['in/student_feat'].requires_grad_()
        check(hcl_loss(student, case['in/teacher_feat']), case, student_feat=student)
        return

    def ours(key):
        for theirs, mine in (('abf', 'fusions.'), ('att_conv', 'attend'), ('conv1', 'reduce'), ('conv2', 'expand')):
            key = key.replace(theirs, mine)
        return key

    loss = ReviewKDLoss([6, 8], [5, 7], pooled=False).to(dtype)
    weights = {ours(key[3:]): value for key, value in case.items() if key.startswith('in/abf')}
    loss.load_state_dict({**loss.state_dict(), **weights})
    maps = {key: case[f'in/{key}'].requires_grad_() for key in ('f1', 'f2')}
    parameters = {name.replace('fusions.', 'abf').replace('attend', 'att_conv').replace('reduce', 'conv1').replace(
        'expand', 'conv2'): parameter for name, parameter in loss.named_parameters()}
    assert parameters.keys() == {key[3:] for key in case if key.startswith('in/abf')}
    check(loss([*maps.values()], [case['in/t1'], case['in/t2']]), case, **maps, **parameters)


# ---- what each of them is, in closed form ----

@given(st.integers(3, 7), st.floats(0.5, 5.0), st.integers(0, 1000))
def test_dkds_terms_add_up_to_kd(classes, tau, seed):
    """KL = TCKD + (1 - p_y) NCKD, the identity that the method starts from."""
    torch.manual_seed(seed)
    student, teacher = torch.randn(2, 1, classes, dtype=torch.float64)
    label = torch.tensor([seed % classes])
    others = 1 - F.softmax(teacher / tau, -1)[0, label]
    total = dkd_loss(student, teacher, label, 1.0, 0.0, tau) + others * dkd_loss(student, teacher, label, 0.0, 1.0, tau)
    torch.testing.assert_close(total.squeeze(), kd_loss(student, teacher, tau), rtol=1e-9, atol=1e-12)


def test_dkd_of_two_classes_is_kd_and_has_no_second_term():
    student, teacher = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)
    second = dkd_loss(student, teacher, LABELS % 2, 0.0, 1.0, 4.0)
    second.backward()
    assert second == 0 and not student.grad.any()
    torch.testing.assert_close(dkd_loss(student, teacher, LABELS % 2, 1.0, 8.0, 4.0), kd_loss(student, teacher, 4.0))


def test_dkd_of_logits_far_apart_is_finite():
    """The authors' takes the logarithm of a probability that is 0 here."""
    student = torch.tensor([[800.0, -800.0, 0.0]], requires_grad=True)
    value = dkd_loss(student, -student.detach(), torch.tensor([1]), 1.0, 8.0, 1.0)
    value.backward()
    assert value > 1000 and student.grad.isfinite().all()


def test_dist_sees_neither_scale_nor_offset_of_probabilities():
    logits = torch.randn(6, 5, dtype=torch.float64)
    closer = (0.5 * logits.softmax(1) + 0.1).log()  # softmax of it: affine in the probabilities
    value = dist_loss(closer, logits, 1.0, 1.0, 1.0)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert dist_loss(-logits, logits, 1.0, 1.0, 1.0) > 1


def test_attention_sees_neither_sign_nor_scale():
    teacher = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    assert at_loss(-3 * teacher, teacher, 2).item() == pytest.approx(0, abs=1e-15)
    assert at_loss(-3 * teacher, teacher, 3).item() == pytest.approx(0, abs=1e-15)
    left, right = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    left[..., 0, 0], right[..., 3, 3] = 5.0, 0.1
    assert at_loss(left, right, 2).item() == pytest.approx(2 / 16)


def test_relations_are_those_of_the_shape():
    """Turned, moved and scaled it is the same; and a triangle's, by hand."""
    teacher = torch.randn(6, 4, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    assert rkd_loss(3 * teacher @ turn + 5, teacher, 25.0, 50.0).item() == pytest.approx(0, abs=1e-20)
    line, corner = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    distances = [(1 / 2 - 3 / 4)**2, (3 / 2 - 1)**2, (1 - 5 / 4)**2]
    assert rkd_loss(line, corner, 1.0, 0.0).item() == pytest.approx(2 * sum(distances) / 2 / 9)
    angles = [(1 - 0)**2, (-1 - 3 / 5)**2, (1 - 4 / 5)**2]
    smooth = sum(a / 2 if a < 1 else a**0.5 - 0.5 for a in angles)
    assert rkd_loss(line, corner, 0.0, 1.0).item() == pytest.approx(2 * smooth / 27)


def test_hierarchical_loss_weighs_what_is_pooled():
    """Of alternating signs, pooling leaves nothing; a constant stays."""
    signs = torch.ones(1, 1, 8, 8)
    signs[..., 1::2] = -1
    zero = torch.zeros_like(signs)
    assert hcl_loss(signs, zero).item() == pytest.approx(1 / 1.875)
    assert hcl_loss(zero + 2, zero).item() == pytest.approx(4)
    assert hcl_loss(signs[..., :2, :], zero[..., :2, :]).item() == pytest.approx(1 / 1.5)  # the smaller side counts


def test_soft_token_is_kd_and_k_times_weaker_over_the_classes_too():
    student, teacher = torch.randn(2, 5, 4), torch.randn(5, 4)
    value = SoftTokenKDLoss(tau=3.0)(student, teacher)
    torch.testing.assert_close(value, kd_loss(student.mean(0), teacher, 3.0))
    torch.testing.assert_close(SoftTokenKDLoss(tau=3.0, reduction='mean')(student, teacher), value / 4)


# ---- their edges ----

def losses():
    """Every loss, what it takes of a student with time and of a teacher, and its target."""
    logits, maps = torch.randn(3, 5, 4).double(), torch.rand(3, 5, 6, 4, 4).double()
    stages = [maps, torch.rand(3, 5, 7, 2, 2).double()]
    teacher_stages = [torch.randn(5, 3, 4, 4).double(), mark_time(torch.randn(5, 5, 5).double(), False)]  # tokens
    teacher_logits = torch.randn(5, 4).double()
    return dict(
        kd=(LogitsKDLoss(4.0), logits, teacher_logits), kd_std=(LogitsKDLoss(2.0, standardise=True), logits,
                                                                teacher_logits),
        wsld_std=(WSLDLoss(2.0, standardise=True), logits, teacher_logits, LABELS),
        dkd=(DKDLoss(), logits, teacher_logits, LABELS),
        dkd_std=(DKDLoss(standardise=True), logits, teacher_logits, LABELS),
        dist=(DISTLoss(), logits, teacher_logits), dist_std=(DISTLoss(standardise=True), logits, teacher_logits),
        soft_token=(SoftTokenKDLoss(), logits, teacher_logits), hard=(HardLogitsKDLoss(), logits, teacher_logits),
        at=(ATLoss(), stages, teacher_stages), rkd=(RKDLoss(), maps, torch.randn(5, 8).double()),
        reviewkd=(ReviewKDLoss([6, 7], [3, 5]).double(), stages, teacher_stages))


def apply(x, function):
    if isinstance(x, list):
        return [apply(each, function) for each in x]
    changed = function(x)
    return mark_time(changed, x.has_time) if hasattr(x, 'has_time') else changed


def value_and_gradients(loss, student, *others):
    student = apply(student, lambda x: x.detach().clone().requires_grad_())
    value = loss(student, *others)
    value.backward()
    return value.detach(), [x.grad for x in (student if isinstance(student, list) else [student])]


ALL = pytest.mark.parametrize('name', losses())


@ALL
def test_the_time_mean_is_compared(name):
    """So one step is its own mean, and each step gets its share of the gradient."""
    loss, student, *others = losses()[name]
    value, gradients = value_and_gradients(loss, student, *others)
    mean_value, mean_gradients = value_and_gradients(loss, apply(student, lambda x: x.mean(0)), *others)
    one_value, _ = value_and_gradients(loss, apply(student, lambda x: x.mean(0, keepdim=True)), *others)
    torch.testing.assert_close(value, mean_value)
    torch.testing.assert_close(one_value, mean_value)
    for gradient, mean_gradient in zip(gradients, mean_gradients):
        torch.testing.assert_close(gradient, (mean_gradient / 3).expand_as(gradient))


@ALL
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_silent_student_has_a_finite_loss_and_gradient(name, dtype):
    loss, student, *others = losses()[name]
    others = [apply(x, lambda x: x.to(dtype) if x.is_floating_point() else x) for x in others]
    value, gradients = value_and_gradients(loss.to(dtype), apply(student, lambda x: torch.zeros_like(x, dtype=dtype)),
                                           *others)
    assert value.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    assert all(p.grad is None or p.grad.isfinite().all() for p in loss.parameters())


@ALL
def test_one_sample_in_the_batch_has_a_finite_loss_and_gradient(name):
    loss, student, *others = losses()[name]
    value, gradients = value_and_gradients(loss.train(), apply(student, lambda x: x[:, :1]),
                                           *(apply(x, lambda x: x[:1]) for x in others))
    assert value.isfinite() and all(gradient.isfinite().all() for gradient in gradients)


def test_one_sample_has_no_relations_and_no_correlation_with_others():
    _, student, teacher = losses()['rkd']
    value, (gradient, ) = value_and_gradients(RKDLoss(), student[:, :1], teacher[:1])
    assert value == 0 and not gradient.any()
    _, student, teacher = losses()['dist']
    value, (gradient, ) = value_and_gradients(DISTLoss(tau=4.0, beta=0.0, gamma=2.0), student[:, :1], teacher[:1])
    assert value == 2 * 4**2 and not gradient.any()


def test_samples_with_equal_features_have_a_bounded_gradient():
    """The authors' function gives 1e11 where two samples of a student are silent and the teacher's are not."""
    student, teacher = torch.rand(6, 8).double(), torch.rand(6, 8).double()
    student[1] = student[4] = 0
    value, (gradient, ) = value_and_gradients(lambda x: rkd_loss(x, teacher, 25.0, 50.0), student)
    assert value.isfinite() and gradient.abs().max() < 100


@pytest.mark.parametrize('name', ['kd', 'kd_std', 'dkd', 'dkd_std', 'dist', 'dist_std', 'soft_token'])
def test_a_wrong_teacher_is_imitated_all_the_same(name):
    loss, _, teacher, *target = losses()[name]
    teacher = teacher + 5 * F.one_hot((LABELS + 1) % 4, 4)
    assert (teacher.argmax(-1) != LABELS).all()
    value, (gradient, ) = value_and_gradients(loss, teacher.clone(), teacher, *target)
    assert value.item() == pytest.approx(0, abs=1e-7) and gradient.abs().max() < 1e-7
    assert loss(torch.randn(5, 4).double(), teacher, *target) > 1e-2


@pytest.mark.parametrize('name', ['kd_std', 'wsld_std', 'dkd_std', 'dist_std', 'soft_token', 'hard'])
def test_standardised_logits_have_neither_scale_nor_offset(name):
    loss, student, teacher, *target = losses()[name]
    loss.standardise = True
    same = loss(3 * student + 5, 0.2 * teacher - 7, *target)
    torch.testing.assert_close(same, loss(student, teacher, *target), rtol=1e-5, atol=1e-8)
    loss.standardise = False
    assert (same - loss(student, teacher, *target)).abs() > 1e-3


@pytest.mark.parametrize('name', sorted({*losses()} - {'reviewkd'}))  # whose convolutions are half precise, as all are
def test_mixed_precision_does_not_touch_the_loss(name):
    loss, *inputs = losses()[name]
    inputs = [apply(x, lambda x: x.float() if x.is_floating_point() else x) for x in inputs]
    with torch.autocast('cpu', torch.bfloat16):
        mixed = loss(*inputs)
    torch.testing.assert_close(mixed, loss(*inputs), rtol=0, atol=0)


def test_soft_targets_have_no_right_class_and_the_other_losses_ask_for_none():
    student = dict(tiny_student(), train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
                   data_preprocessor=dict(num_classes=10))
    for name in FRAGMENTS:
        if name == 'dkd':
            with pytest.raises(ValueError, match='loss_kd .DKDLoss. needs labels.*train_cfg.augments'):
                build(name, student)
        else:
            assert build(name, student).losses
    loss, logits, teacher, labels = losses()['dkd']
    with pytest.raises(ValueError, match=r'must be labels.*\(5, 4\).*mixup'):
        loss(logits, teacher, F.one_hot(labels, 4).float())


# ---- as parts of a training ----

def build(method, student=None):
    torch.manual_seed(1)
    taps = dict(
        student=dict(stages=['backbone.stem', 'backbone.layer1', 'backbone.layer2'], feature='backbone.layer2'),
        teacher=dict(stages=['stage1', 'stage1', 'stage2'], feature='stage2', logits='fc'))
    losses = Config.fromfile(methods()[method]).losses.to_dict()
    return Distiller(student or tiny_student(), FrozenTeacher(tiny_cnn()), losses, input_shape=(1, 8, 8), taps=taps)


@pytest.mark.parametrize('method', FRAGMENTS)
def test_fragment_trains_a_student(method):
    model = build(method)
    found = model(*batch(), mode='loss')
    assert len(found) == 2 and all(value > 0 and value.isfinite() for value in found.values())
    found[next(key for key in found if key != 'loss_cls')].backward()
    assert model.student.backbone.stem.conv.weight.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.losses.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())
    with torch.autocast('cpu', torch.bfloat16):
        assert {value.dtype for value in model(*batch(), mode='loss').values()} == {torch.float32}


@pytest.mark.parametrize('method', ['dkd', 'reviewkd'])
def test_weight_grows_as_the_authors(method):
    """min(epoch / 20, 1) in the epochs 1 to 240."""
    loss = next(iter(build(method).losses.values()))
    weights = []
    for epoch in range(240):
        loss.epoch_progress = epoch / 240
        weights.append(loss.loss_weight)
    assert weights == pytest.approx([min(epoch / 20, 1) for epoch in range(1, 241)])


def test_soft_token_trains_the_second_classifier():
    student = tiny_student()
    student['head'].update(type='SpikingDistillationHead', neuron=golden.IF)
    losses = Config.fromfile(methods()['soft_token']).losses.to_dict()
    model = Distiller(student, FrozenTeacher(tiny_cnn()), losses, input_shape=(1, 8, 8),
                      taps=dict(teacher=dict(logits='fc')))
    model(*batch(), mode='loss')['loss_kd'].backward()
    assert model.student.head.distilled.bias.grad.abs().sum() > 0 and model.student.head.fc.weight.grad is None
    with pytest.raises(ValueError, match="loss_kd.student.*'head.distilled'"):
        Distiller(tiny_student(), FrozenTeacher(tiny_cnn()), losses, taps=dict(teacher=dict(logits='fc')))


def test_reviewkds_fusions_are_its_own_and_learn_statistics():
    model = build('reviewkd')
    fusions = model.losses['loss_reviewkd'].fusions
    assert [fusion.attend is None for fusion in fusions] == [True, False, False, False]
    assert [fusion.expand[0].weight.shape[:2] for fusion in fusions] == [(12, 8), (12, 8), (6, 8), (6, 8)]
    before = fusions[0].expand[1].running_mean.clone()
    model.train()(*batch(), mode='loss')
    assert not torch.equal(before, fusions[0].expand[1].running_mean)
    assert len(ReviewKDLoss([4, 8], [6, 12], pooled=False).fusions) == 2


def test_tokens_become_maps_without_their_class():
    maps = torch.randn(2, 5, 3, 3)
    tokens = maps.flatten(2).mT
    assert torch.equal(spatial_map(maps), maps) and torch.equal(spatial_map(tokens), maps)
    assert torch.equal(spatial_map(torch.cat([torch.ones(2, 1, 5), tokens], 1)), maps)
    teacher = mark_time(torch.cat([torch.ones(2, 1, 5), tokens], 1), False)
    student = torch.rand(4, 2, 6, 6, 6)
    torch.testing.assert_close(ATLoss()([student], [teacher]), ATLoss()([student], [maps]))


@pytest.mark.parametrize('make, words', [
    (lambda: DKDLoss(alpha=-1.0), ['DKDLoss: alpha=-1.0', 'positive number or zero']),
    (lambda: DISTLoss(gamma=float('nan')), ['DISTLoss: gamma=nan']),
    (lambda: RKDLoss(angle_weight='much'), ["RKDLoss: angle_weight='much'"]),
    (lambda: SoftTokenKDLoss(reduction='sum'), ["SoftTokenKDLoss: reduction='sum'"]),
    (lambda: ATLoss(p=0.5), ['ATLoss: p=0.5', 'must be a positive number of at least 1,', 'infinite gradient']),
    (lambda: ATLoss(p=dict(points=[(0, 2.0), (1, 0.0)])), ['ATLoss: p=linear schedule', 'at least 1,']),
    (lambda: ReviewKDLoss([4, 8], [6]), ['ReviewKDLoss: 2 stages of the student and 1 of the teacher']),
    (lambda: ATLoss()([torch.rand(2, 3, 4, 4)] * 2, [torch.rand(2, 3, 4, 4)]), ['2 stages', '1 of the teacher']),
    (lambda: ATLoss()(torch.rand(2, 3, 4, 4), torch.rand(2, 7)), ["teacher's stage 0", '(2, 7)', 'no map']),
    (lambda: spatial_map(torch.rand(2, 12, 8), 'it'), ['it has shape (2, 12, 8)', 'square grid']),
    (lambda: spatial_map(torch.rand(2, 0, 8)), ['(2, 0, 8)']),
    (lambda: RKDLoss()(torch.rand(2, 3, 8, 4, 4), torch.rand(2, 3, 5, 8, 4, 4)), ['RKDLoss takes maps (B, C, H, W)']),
    (lambda: HardLogitsKDLoss()(torch.rand(2, 3, 4), torch.rand(3, 5)), ['4 and 5 classes differ'])])
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words), str(error.value)
