"""Student, teacher and losses together: what each must and must not do."""
import copy

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn.models import BKDLoss, Distiller, FeatureRecorder, FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import tiny_cnn, tiny_student

BKD = dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=1e-2)
WSLD = dict(type='WSLDLoss', student='head', teacher='fc', tau=2.0)


def build(teacher=None, student=None, losses=None, **kwargs):
    """A distiller with a random teacher, given as a module."""
    torch.manual_seed(1)
    return Distiller(
        student=student or tiny_student(),
        teacher=FrozenTeacher(teacher or tiny_cnn()),
        losses=losses or dict(loss_bkd=BKD, loss_wsld=WSLD),
        **{'input_shape': (1, 8, 8), **kwargs})


def batch(size=6, classes=10):
    samples = [DataSample().set_gt_label(i % classes) for i in range(size)]
    return torch.randn(size, 1, 8, 8), samples


def test_losses_add_up_and_reach_every_parameter():
    model = build()
    losses = model(*batch(), mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bkd', 'loss_wsld'}
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(losses.values()))
    total.backward()
    # Align layer and restoration block included: nothing is left out of training or DDP.
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in model.named_parameters() if 'losses' in n)
    assert all(p.grad is not None for p in model.parameters())
    assert sum('losses.loss_bkd.align' in n for n, _ in model.named_parameters()) == 2


def test_compiled_as_a_whole_it_gives_the_same_losses_and_gradients():
    """As mmengine's ``compile=True`` does; the recorders' hooks are traced too, at each call anew."""
    model, (x, samples) = build(student=tiny_student(T=1)).double().train(), batch()
    compiled = torch.compile(model, backend='aot_eager')
    results = []
    for run in (model, compiled, compiled):
        torch.manual_seed(2)  # blur
        model.zero_grad()
        losses = run(x.double(), samples, mode='loss')
        sum(losses.values()).backward()
        results.append([*losses.values(), *(p.grad for p in model.parameters())])
    for result in results[1:]:
        for got, want in zip(result, results[0]):
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


def test_teacher_is_frozen_hidden_and_shared():
    model = build()
    teacher = model.teacher
    model.train()
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(p is q for p in model.parameters() for q in teacher.parameters())
    assert not any('teacher' in key for key in model.state_dict())
    before = copy.deepcopy(teacher.network.state_dict())
    model(*batch(), mode='loss')
    assert all(torch.equal(v, before[k]) for k, v in teacher.network.state_dict().items())
    assert copy.deepcopy(model).teacher is teacher
    assert not teacher(batch()[0]).requires_grad
    assert next(model.double().teacher.parameters()).dtype == torch.float64


def test_the_student_is_blurred_and_the_teacher_is_not():
    """Mistake 1 of the authors' code: the arguments swapped."""
    model = build(losses=dict(loss_bkd=BKD))
    seen = {}
    bkd = model.losses['loss_bkd']
    bkd.register_forward_pre_hook(lambda _, args: seen.update(student=args[0], teacher=args[1]))
    bkd.restore.register_forward_pre_hook(lambda _, args: seen.update(blurred=args[0]))
    inputs, samples = batch(64)
    model.train()(inputs, samples, mode='loss')
    assert seen['student'].shape == (2, 64, 8, 4, 4) and seen['teacher'].shape == (64, 12, 4, 4)
    zeroed = (seen['blurred'] == 0).all((-2, -1)).float().mean().item()
    assert zeroed == pytest.approx(0.15, abs=0.04)
    teacher = model.teacher.network
    torch.testing.assert_close(seen['teacher'], teacher.stage2(teacher.stage1(inputs)))


def test_nothing_is_blurred_in_eval_mode():
    loss = BKDLoss('a', 'b', 3, 3, loss_weight=1.0, blur_ratio=0.9).eval()
    x = torch.rand(4, 3, 5, 5)
    assert torch.equal(loss.blur(x), x)


def test_mask_is_drawn_anew_for_every_sample_and_step():
    loss = BKDLoss('a', 'b', 50, 50, loss_weight=1.0, blur_ratio=0.5)
    x = torch.ones(4, 50, 2, 2)
    first, second = loss.blur(x), loss.blur(x)
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert set(first.unique().tolist()) == {0.0, 1.0}  # what stays is not rescaled


def test_spiking_teacher_keeps_nothing_between_batches():
    """Mistake 2: membranes that leak from one batch into the next."""
    teacher = FrozenTeacher(MODELS.build(tiny_student(T=5)))
    x = torch.randn(3, 1, 8, 8)
    first = teacher(x)
    teacher(torch.randn(7, 1, 8, 8))
    assert first.shape == (3, 10) and torch.equal(teacher(x), first)


def test_spiking_teacher_with_more_time_steps_distils():
    model = build(teacher=MODELS.build(tiny_student(widths=(4, 12), T=5)),
                  losses=dict(loss_bkd=dict(BKD, teacher='backbone.layer2'), loss_wsld=dict(WSLD, teacher='head')))
    model.parse_losses(model(*batch(), mode='loss'))[0].backward()


def test_student_and_teacher_may_see_different_views():
    model = build()
    inputs, samples = batch()
    frames = torch.randn(6, 3, 1, 8, 8)
    losses = model(dict(student=frames, teacher=inputs), samples, mode='loss')
    assert torch.isfinite(model.parse_losses(losses)[0])
    assert model(dict(student=frames, teacher=inputs)).shape == (3, 6, 10)


@pytest.mark.parametrize('to_rgb', [False, True])
def test_teacher_gets_its_own_normalisation_channel_order_and_size(to_rgb):
    """Mistake 6: one mean and std for both."""
    raw = torch.randint(0, 256, (2, 3, 8, 8)).float()
    mean, std = [10., 20., 30.], [2., 3., 4.]
    preprocessor = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[100., 110., 120.],
                                     std=[50., 60., 70.], to_rgb=False))
    teacher = FrozenTeacher(tiny_cnn(3), mean=mean, std=std, to_rgb=to_rgb, input_size=(16, 12),
                            interpolation='bilinear')
    teacher.adapt_to(preprocessor)
    got = teacher.prepare(preprocessor(dict(inputs=raw))['inputs'])
    own = raw.flip(1) if to_rgb else raw
    own = (own - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    want = nn.functional.interpolate(own, (16, 12), mode='bilinear', antialias=True)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_teacher_with_the_students_normalisation_sees_the_same_tensor():
    model = build()
    x = torch.randn(2, 1, 8, 8)
    assert model.teacher.prepare(x) is x


def test_mixup_reaches_the_teacher_and_the_targets():
    """Mistake 14: only the student's input was mixed."""
    model = build(student=dict(tiny_student(), train_cfg=dict(augments=dict(type='mmpretrain.Mixup', alpha=1.0)),
                               data_preprocessor=dict(num_classes=10)))
    seen = {}
    model.teacher.register_forward_pre_hook(lambda _, args: seen.update(teacher=args[0]))
    model.student.backbone.register_forward_pre_hook(lambda _, args: seen.update(student=args[0]))
    model.losses['loss_wsld'].register_forward_pre_hook(
        lambda _, __, kwargs: seen.update(target=kwargs['target']), with_kwargs=True)
    raw = torch.randint(0, 256, (8, 1, 8, 8)).float()
    data = model.data_preprocessor(dict(inputs=raw, data_samples=batch(8)[1]), training=True)
    model(**data, mode='loss')
    assert torch.equal(seen['teacher'], seen['student']) and not torch.equal(seen['student'], raw)
    assert seen['target'].shape == (8, 10) and ((seen['target'] > 0) & (seen['target'] < 1)).any()


def test_recorder_finds_modules_by_path_not_by_position():
    """Mistake 4: features in lists, read by position."""
    net = tiny_cnn()
    with FeatureRecorder(net, ['fc:input', 'stage1', 'stage2']) as recorder:
        logits = net(torch.randn(2, 1, 8, 8))
    features = recorder.features
    assert features['stage1'].shape == (2, 6, 8, 8) and features['stage2'].shape == (2, 12, 4, 4)
    torch.testing.assert_close(net.fc(features['fc:input']), logits)


def test_recorder_leaves_no_hook_behind_even_after_an_error():
    net = tiny_cnn()
    recorder = FeatureRecorder(net, ['stage1'])
    with pytest.raises(RuntimeError), recorder:
        net(torch.randn(2, 5, 8, 8))
    assert not net.stage1._forward_hooks
    with pytest.raises(RuntimeError, match="'stage1' did not run"):
        _ = recorder.features


def test_recorder_refuses_what_was_changed_in_place():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(inplace=True))
    with FeatureRecorder(net, ['0']) as recorder:
        net(torch.randn(4, 3))
    with pytest.raises(RuntimeError, match="'0' put out was changed in place"):
        _ = recorder.features


def test_two_different_preprocessors_are_an_error_and_none_is_no_preprocessor():
    with pytest.raises(ValueError, match='two data preprocessors'):
        build(student=dict(tiny_student(), data_preprocessor=dict(mean=[1.0], std=[1.0])),
              data_preprocessor=dict(mean=[2.0], std=[1.0]))
    model = build(student=dict(tiny_student(), data_preprocessor=None), data_preprocessor=dict(mean=[2.0], std=[1.0]))
    assert model.data_preprocessor.mean.item() == 2


@pytest.mark.parametrize('suffix', [':calls', ':input:calls'])
def test_recorder_stacks_the_calls_of_a_loop_over_time_where_it_is_told_to(suffix):
    layer = nn.Linear(3, 4)
    loop = nn.Sequential(layer)
    x = torch.randn(5, 2, 3)
    with FeatureRecorder(loop, [f'0{suffix}']) as recorder:
        outputs = [loop(x_t) for x_t in x]
    got = recorder.features[f'0{suffix}']
    assert torch.equal(got, x if 'input' in suffix else torch.stack(outputs)) and got.has_time


def test_gradient_checkpointing_records_the_same_tensor():
    net = tiny_cnn()
    x = torch.randn(2, 1, 8, 8, requires_grad=True)

    def run(forward):
        with FeatureRecorder(net, ['stage1']) as recorder:
            out = forward(x)
        feature = recorder.features['stage1']
        (out.sum() + feature.square().sum()).backward()
        return feature.detach(), net.stage1[0].weight.grad.clone()

    net.eval()
    plain = run(net)
    net.zero_grad()
    again = run(lambda inputs: torch.utils.checkpoint.checkpoint(net, inputs, use_reentrant=False))
    for a, b in zip(plain, again):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('losses, words', [
    (dict(loss_bkd=dict(BKD, student='backbone.layer9')),
     ['backbone.layer9', 'model.losses.loss_bkd.student', 'layer2']),
    (dict(loss_bkd=dict(BKD, teacher='stage3')), ['stage3', 'model.losses.loss_bkd.teacher', 'stage2']),
    (dict(loss_bkd=dict(BKD, teacher='stage1')), ['(1, 6, 8, 8)', '4x4 and 8x8', "resize='teacher'", 'loss_bkd']),
    (dict(loss_bkd=dict(BKD, blur_ratio=1.0)), ['model.losses.loss_bkd', 'blur_ratio=1.0', '[0, 1)']),
    (dict(loss_bkd=dict(BKD, loss_weight=-1.0)), ['model.losses.loss_bkd', 'loss_weight=-1.0']),
    (dict(loss_bkd=dict(BKD, reduction='max')), ['reduction', "'sum'"]),
    (dict(loss_wsld=dict(WSLD, tau=0.0)), ['model.losses.loss_wsld', 'tau=0.0']),
    (dict(loss_bkd=dict(BKD, student='head')), ['loss_bkd', '(2, 1, 10)']),
    (dict(bkd=BKD), ['"loss"', "'bkd'"]),
    (dict(loss_cls=dict(tau=2.0)), ['model.losses.loss_cls.tau', 'a loss_weight alone']),
    (dict(loss=WSLD), ["rename 'loss'"]),
    (dict(loss_kd=dict(tau=2.0)), ['model.losses.loss_kd.type is missing']),
    (dict(loss_bkd={k: v for k, v in BKD.items() if k != 'teacher'}),
     ['model.losses.loss_bkd.teacher', "'feature'", "Taps of the teacher are logits='head'", 'model.taps.teacher']),
    (dict(loss_bkd={k: v for k, v in BKD.items() if k != 'loss_weight'}), ['model.losses.loss_bkd', 'loss_weight']),
    (dict(loss_kd=dict(type='KDLoss')), ['model.losses.loss_kd.type', 'KDLoss']),
])
def test_bad_losses_are_named_when_the_model_is_built(losses, words):
    with pytest.raises((ValueError, TypeError)) as error:
        build(losses=losses)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_none_drops_a_loss_of_the_base_config():
    assert set(build(losses=dict(loss_bkd=None, loss_wsld=WSLD)).losses) == {'loss_wsld'}


def test_class_counts_that_differ_are_named_even_without_an_input_shape():
    with pytest.raises(ValueError, match=r'model\.losses\.loss_wsld: .*10 and 7 classes differ'):
        build(teacher=tiny_cnn(num_classes=7), losses=dict(loss_wsld=WSLD), input_shape=None)


def test_spatial_sizes_that_differ_are_named_on_the_first_batch_without_an_input_shape():
    model = build(losses=dict(loss_bkd=dict(BKD, teacher='stage1')), input_shape=None)
    with pytest.raises(ValueError, match='spatial sizes 4x4 and 8x8 differ'):
        model(*batch(), mode='loss')


@pytest.mark.parametrize('resize', ['teacher', 'student'])
def test_resize_lets_maps_of_other_sizes_distil(resize):
    model = build(losses=dict(loss_bkd=dict(BKD, teacher='stage1', resize=resize)))
    assert torch.isfinite(model(*batch(), mode='loss')['loss_bkd'])


def test_rescaling_brings_no_gradient_to_the_scale():
    """Mistake 11. The gradient must be that of a fixed scale."""
    torch.manual_seed(0)
    loss = BKDLoss('a', 'b', 4, 4, loss_weight=1.0, rescale=True)
    student, teacher = torch.rand(3, 4, 5, 5, requires_grad=True), torch.rand(3, 4, 5, 5, requires_grad=True)
    mask = torch.ones(3, 4, 1, 1)
    loss(student, teacher, mask=mask).backward()
    fixed = BKDLoss('a', 'b', 4, 4, loss_weight=1.0)
    fixed.load_state_dict(loss.state_dict())
    again = student.detach().clone().requires_grad_()
    scaled = teacher.detach() * (student.detach().max() / teacher.detach().max())
    fixed(again, scaled, mask=mask).backward()
    torch.testing.assert_close(student.grad, again.grad)
    assert teacher.grad is None


@pytest.mark.parametrize('classes', [3, 10])
def test_wsld_hard_labels_equal_their_one_hot_form(classes):
    """Mistake 10: labels broadcast against logits; with as many samples as classes that even runs."""
    loss = MODELS.build(WSLD)
    student, teacher = torch.randn(classes, classes), torch.randn(classes, classes)
    label = torch.randint(classes, (classes, ))
    torch.testing.assert_close(loss(student, teacher, label),
                               loss(student, teacher, nn.functional.one_hot(label, classes).float()))
    with pytest.raises(ValueError, match='target must be labels'):
        loss(student, teacher, label[:-1])


def test_kd_loss_equals_its_closed_form():
    student, teacher, tau = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64), 3.0
    p, q = (teacher / tau).softmax(-1), (student.mean(0) / tau).softmax(-1)
    want = tau**2 * (p * (p / q).log()).sum(-1).mean()
    got = MODELS.build(dict(type='LogitsKDLoss', tau=tau))(student, teacher)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)
