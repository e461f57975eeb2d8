"""Whole runs on event recordings: one view, two views, spiking and ordinary teachers, mixup."""
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

import golden
from bkdsnn.config.checks import check_config
from bkdsnn.engine.hooks import TeacherCheckHook
from bkdsnn.models import Distiller, FrozenTeacher
from bkdsnn.registry import MODELS
from generated_events import write_cifar10_dvs
from helpers import REPOSITORY, tiny_cnn

SEES = dict(student=4, teacher=16)
SHAPES = {view: (steps, 2, 16, 16) for view, steps in SEES.items()}

PLAIN = """
_base_ = ['{base}/datasets/cifar10_dvs.py', '{base}/schedules/{schedule}.py', '{base}/default_runtime.py']
model = {model}
data_preprocessor = dict(size=16)
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root={data_root!r}, partial=True))
train_dataloader = val_dataloader = test_dataloader = loader
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
work_dir = {work_dir!r}
"""
# What turns the plain student's config into the distillation's.
DISTILLED = """
_base_ = ['plain.py']
model = dict(
    _delete_=True, type='Distiller', student=_base_.model,
    teacher=dict(type='FrozenTeacher', model={teacher!r}, checkpoint={checkpoint!r}),
    input_shape=dict(student=(4, 2, 16, 16), teacher=(16, 2, 16, 16)),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.layer1', teacher='backbone.layer1', loss_weight=1e-3),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher='head', tau=2.0)))
train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
work_dir = {work_dir!r}
"""


def classifier(T=4, widths=(4, ), neuron=golden.IF, **options):
    return dict(type='SpikingClassifier',
                backbone=dict(type='SEWResNet', arch=dict(layers=(1, ), widths=widths), T=T, neuron=neuron,
                              in_channels=2, stem='small'),
                head=dict(type='SpikingLinearHead', num_classes=10, in_channels=widths[-1]), **options)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('events')
    write_cifar10_dvs(folder / 'data')
    return folder


def write_plain(folder, name='plain.py', schedule='dvs_sew_64e', **model):
    text = PLAIN.format(base=REPOSITORY / 'configs' / '_base_', schedule=schedule, model=classifier(**model),
                        data_root=str(folder / 'data'), work_dir=str(folder / name.split('.')[0]))
    (folder / name).write_text(text)
    return Config.fromfile(folder / name)


@pytest.fixture(scope='module')
def distilled(folder):
    """Config of a distillation from a spiking teacher with 16 time steps and its own, random weights."""
    write_plain(folder)
    write_plain(folder, 'teacher.py', T=16, widths=(6, ))
    torch.manual_seed(1)
    torch.save(dict(state_dict=MODELS.build(classifier(T=16, widths=(6, ))).state_dict()), folder / 'teacher.pth')
    (folder / 'distilled.py').write_text(DISTILLED.format(
        teacher=str(folder / 'teacher.py'), checkpoint=str(folder / 'teacher.pth'), work_dir=str(folder / 'distilled')))
    return Config.fromfile(folder / 'distilled.py')


def time_steps_seen(module):
    """Numbers of time steps of all tensors that a backbone gets from now on."""
    seen = set()
    module.register_forward_pre_hook(lambda _, args: seen.add(args[0].shape[0]))
    return seen


def scalars(work_dir):
    (path, ) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_views_train_validate_and_test_through_the_runner(folder, distilled):
    check_config(distilled)
    runner = Runner.from_cfg(distilled)
    student = time_steps_seen(runner.model.student.backbone)
    teacher = time_steps_seen(runner.model.teacher.network.backbone)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    assert student == {SEES['student']} and teacher == {SEES['teacher']}
    lines = [line for line in scalars(folder / 'distilled') if 'loss' in line]
    assert len(lines) == 90 // 16
    for line in lines:
        assert line['loss'] == pytest.approx(sum(line[f'loss_{name}'] for name in ('cls', 'bkd', 'wsld')), rel=1e-5)
    after = runner.model.state_dict()
    assert not any('teacher' in key for key in after)
    changed = {key.split('.')[0] for key in after if not torch.equal(before[key], after[key])}
    assert changed == {'student', 'losses'}
    assert 'accuracy/top1' in runner.test()
    assert 'Teacher accuracy on the validation data' in next((folder / 'distilled').glob('*/*.log')).read_text()


def test_plain_student_tests_on_two_views_as_on_its_own(folder, distilled):
    plain, results = write_plain(folder), []
    for cfg in (plain, distilled):
        runner = Runner.from_cfg(Config(dict(plain, test_dataloader=cfg.test_dataloader,
                                             work_dir=str(folder / 'tested'))))
        torch.manual_seed(3)
        runner.model.init_weights()
        runner.model.backbone.stem.conv.weight.data *= 100  # the few events make it spike
        (batch, ) = runner.test_dataloader
        results.append(torch.stack([sample.pred_score for sample in runner.model.eval().test_step(batch)]))
        assert isinstance(batch['inputs'], dict) == (cfg is distilled)
    assert torch.equal(*results) and len(results[0].unique()) > 10


def test_teacher_check_measures_the_teacher_on_its_own_view(distilled):
    model = MODELS.build(dict(distilled.model, data_preprocessor=dict(type='EventDataPreprocessor', size=16)))
    loader = Runner.build_dataloader(distilled.val_dataloader)
    right = total = 0
    for batch in loader:
        data = model.data_preprocessor(batch)
        labels = torch.cat([sample.gt_label for sample in data['data_samples']])
        logits = model.teacher.network(data['inputs']['teacher']).mean(0)
        right, total = right + (logits.argmax(1) == labels).sum().item(), total + len(labels)
    assert TeacherCheckHook.measure(model, loader) == pytest.approx(100 * right / total)


def test_transformer_schedule_mixes_both_views(folder):
    cfg = write_plain(folder, 'mixup.py', schedule='dvs_transformer_106e')
    cfg.model.train_cfg = dict(cfg.batch_augments, probs=1.0)
    runner = Runner.from_cfg(cfg)
    targets = []
    loss = runner.model.head.loss
    runner.model.head.loss = lambda feats, samples: targets.extend(s.gt_score for s in samples) or loss(feats, samples)
    runner.train()
    targets = torch.stack(targets)
    assert targets.shape == (80, 10) and ((targets > 0) & (targets < 1)).any()
    assert [type(scheduler).__name__ for scheduler in runner.param_schedulers] == ['WarmupCosineLR']


def samples(size):
    return [DataSample().set_gt_label(i) for i in range(size)]


def build(teacher, losses=None, **options):
    torch.manual_seed(1)
    losses = losses or dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer1', teacher='backbone.layer1',
                                          loss_weight=1e-3))
    return Distiller(student=classifier(), teacher=FrozenTeacher(teacher), losses=losses,
                     **{'input_shape': SHAPES, **options})


def test_relu_network_teaches_frame_by_frame():
    """The authors' ANN teacher: the student's network with ReLU, applied to each frame, its logits averaged."""
    network = MODELS.build(classifier(T=16, neuron=dict(type='ReLU')))
    model = build(network)
    frames = torch.rand(3, *SHAPES['teacher'])
    logits = model.teacher(frames)
    alone = torch.stack([network(frames[:, t:t + 1])[0] for t in range(16)]).mean(0)
    torch.testing.assert_close(logits, alone)
    losses = model(dict(student=torch.rand(3, *SHAPES['student']), teacher=frames), samples(3), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_image_network_teaches_from_time_steps_as_channels():
    losses = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer1', teacher='stage1', loss_weight=1e-3),
                  loss_wsld=dict(type='WSLDLoss', student='head', teacher='fc', tau=2.0))
    shapes = dict(SHAPES, teacher=(32, 16, 16))
    model = build(tiny_cnn(in_channels=32), losses, input_shape=shapes)
    views = {view: torch.rand(3, *shape) for view, shape in shapes.items()}
    losses = model(views, samples(3), mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bkd', 'loss_wsld'}


def test_image_classifier_of_mmpretrain_trains_on_frames_as_channels(folder):
    cfg = write_plain(folder, 'image.py')
    cfg.model = dict(type='ImageClassifier', _scope_='mmpretrain',
                     backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=8, stem_channels=4, base_channels=4),
                     neck=dict(type='GlobalAveragePooling'),
                     head=dict(type='LinearClsHead', num_classes=10, in_channels=32,
                               loss=dict(type='CrossEntropyLoss')))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline[-1] = dict(type='PackEvents', as_image=True)
    Runner.from_cfg(cfg).train()
    assert len([line for line in scalars(folder / 'image') if 'loss' in line]) == 5


def test_feature_that_fits_no_view_is_named_when_the_model_is_built():
    losses = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer1', teacher='stage2', loss_weight=1e-3))
    with pytest.raises(ValueError, match=r'spatial sizes 16x16 and 8x8 differ'):
        build(tiny_cnn(in_channels=32), losses, input_shape=dict(SHAPES, teacher=(32, 16, 16)))


@pytest.mark.parametrize('input_shape', [dict(student=(4, 2, 16, 16)), dict(SHAPES, other=(1, 2, 3))])
def test_input_shape_of_unknown_or_missing_views_is_named(input_shape):
    with pytest.raises(ValueError, match=r'model\.input_shape=.* one for student and teacher each'):
        build(MODELS.build(classifier(T=16)), input_shape=input_shape)


def test_teacher_undoes_the_students_scale_and_applies_its_own():
    model = build(MODELS.build(classifier(T=16)),
                  data_preprocessor=dict(type='EventDataPreprocessor', std=4.0))
    frames = torch.rand(2, *SHAPES['teacher'])
    assert model.teacher.prepare(frames) is frames
    teacher = FrozenTeacher(MODELS.build(classifier(T=16)), std=[2.0], to_rgb=True)
    teacher.adapt_to(model.data_preprocessor)
    torch.testing.assert_close(teacher.prepare(frames), frames * 2)


# ---- what the authors' event runs got wrong ----

def event_views(size=3, student=4, teacher=16, height=16, width=16, scale=5.0):
    torch.manual_seed(5)
    return dict(student=scale * torch.rand(size, student, 2, height, width),
                teacher=scale * torch.rand(size, teacher, 2, height, width))


def test_the_student_is_blurred_and_imitates_the_teacher():
    """Mistake 1: on the event runs student and teacher were exchanged, so that the teacher was blurred."""
    model = build(MODELS.build(classifier(T=16)))
    loss, views, seen = model.losses.loss_bkd, event_views(), {}
    loss.restore.register_forward_pre_hook(lambda _, args: seen.update(blurred=args[0].detach()))
    losses = model(views, samples(3), mode='loss')
    student = model.student.backbone(views['student'].transpose(0, 1))[-1].mean(0)
    teacher = model.teacher.network.backbone(views['teacher'].transpose(0, 1))[-1].mean(0)
    kept = seen['blurred'] != 0
    assert kept.any() and not kept.all()
    torch.testing.assert_close(seen['blurred'][kept], student[kept])
    restored = loss.restore(seen['blurred'])
    torch.testing.assert_close(losses['loss_bkd'], 1e-3 * ((restored - teacher)**2).sum() / 3)
    losses['loss_bkd'].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.student.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())


def test_the_teachers_membranes_start_from_rest_in_every_batch():
    """Mistake 2: the spiking teacher kept its state."""
    model = build(MODELS.build(classifier(T=16, widths=(6, ))))
    views, others = event_views(), event_views(scale=50.0)
    torch.manual_seed(0)
    first = model(views, samples(3), mode='loss')
    model(others, samples(3), mode='loss')
    torch.manual_seed(0)
    again = model(views, samples(3), mode='loss')
    torch.testing.assert_close(again['loss_bkd'], first['loss_bkd'], rtol=0, atol=0)
    alone = {view: frames[:1] for view, frames in views.items()}
    # Nor does a sample see another one of its batch.
    torch.testing.assert_close(model.teacher(alone['teacher']), model.teacher(views['teacher'])[:1])


@pytest.mark.parametrize('student, teacher, height, width', [(1, 3, 12, 20), (5, 7, 17, 9), (8, 2, 30, 10)])
def test_any_number_of_frames_on_any_sensor(student, teacher, height, width):
    """Mistake 12: 4 and 16 frames and 128x128 pixels were built in."""
    shapes = dict(student=(student, 2, height, width), teacher=(teacher, 2, height, width))
    model = build(MODELS.build(classifier(T=teacher, widths=(6, ))), input_shape=shapes)
    seen = time_steps_seen(model.student.backbone), time_steps_seen(model.teacher.network.backbone)
    losses = model(event_views(2, student, teacher, height, width), samples(2), mode='loss')
    assert seen == ({student}, {teacher}) and all(torch.isfinite(loss) for loss in losses.values())


def test_mixup_reaches_what_the_teacher_sees():
    """Mistake 14: it changed the student's input alone."""
    model = build(MODELS.build(classifier(T=16)), data_preprocessor=dict(
        type='EventDataPreprocessor', num_classes=10,
        batch_augments=dict(augments=dict(type='mmpretrain.Mixup', alpha=1.0))))
    seen = {}
    model.student.backbone.register_forward_pre_hook(lambda _, args: seen.update(student=args[0].transpose(0, 1)))
    model.teacher.network.backbone.register_forward_pre_hook(
        lambda _, args: seen.update(teacher=args[0].transpose(0, 1)))
    value = torch.tensor([1.0, 2.0, 4.0, 8.0])
    views = {view: value.view(4, 1, 1, 1, 1).expand(4, *shape).clone() for view, shape in SHAPES.items()}
    data = model.data_preprocessor(dict(inputs=views, data_samples=samples(4)), training=True)
    model(**data, mode='loss')
    score = torch.stack([sample.gt_score for sample in data['data_samples']])
    mixed = score[:, :4] @ value
    assert not torch.equal(mixed, value)
    for view in seen.values():
        torch.testing.assert_close(view.mean((1, 2, 3, 4)), mixed)
