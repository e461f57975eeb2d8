"""Losses that say what they need: taps, schedules, no teacher, its classifier, several stages, several teachers."""
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from test_distiller import BKD, WSLD, batch
from torch.nn import functional as F

from bkdsnn.models import (
    BKDLoss,
    Distiller,
    DistillLoss,
    FrozenTeacher,
    LogitsLoss,
    Schedule,
    TeacherEnsemble,
    WSLDLoss,
)
from bkdsnn.models.layers import time_mean
from bkdsnn.registry import MODELS
from helpers import demo_config, tiny_cnn, tiny_student


@MODELS.register_module()
class StepwiseLoss(LogitsLoss):
    """Per time step, and later in training the stronger."""

    def forward(self, student, teacher, target, progress):
        teacher = F.softmax(time_mean(teacher) / self.tau, -1)
        hard = torch.stack([F.cross_entropy(logits, target) for logits in student]).mean()
        soft = torch.stack([F.cross_entropy(logits / self.tau, teacher) for logits in student]).mean()
        return self.loss_weight * ((1 - progress) * hard + progress * soft)


@MODELS.register_module()
class StepsCrossEntropyLoss(DistillLoss):
    """Cross-entropy of every time step: no teacher."""

    def forward(self, student, target):
        return self.loss_weight * F.cross_entropy(student.flatten(0, 1), target.repeat(len(student)))


@MODELS.register_module()
class ClassifierLoss(DistillLoss):
    """The student's feature through the teacher's classifier."""

    needs_labels = True
    default_tap = 'feature'

    def __init__(self, student_channels, teacher_channels, student='feature', teacher='logits',
                 teacher_part='classifier', loss_weight=1.0):
        super().__init__(student, teacher, loss_weight)
        self.project = torch.nn.Linear(student_channels, 12)

    def forward(self, student, teacher, teacher_part):
        logits = teacher_part(self.project(time_mean(student).mean((-2, -1))))
        return self.loss_weight * F.kl_div(logits.log_softmax(-1), teacher.softmax(-1), reduction='batchmean')


@MODELS.register_module()
class StagesLoss(DistillLoss):
    """Mean activations of several stages at once."""

    def __init__(self, student_channels, teacher_channels, student='stages', teacher='stages', loss_weight=1.0):
        super().__init__(student, teacher, loss_weight)
        self.channels = student_channels, teacher_channels

    def forward(self, student, teacher):
        pairs = [(time_mean(s).mean((1, 2, 3)), time_mean(t).mean((1, 2, 3))) for s, t in zip(student, teacher)]
        return self.loss_weight * sum(F.mse_loss(s, t) for s, t in pairs)


@MODELS.register_module()
class TwoTeachersLoss(LogitsLoss):
    """KD from each of two teachers by name."""

    def forward(self, student, teacher, data_samples):
        assert len(data_samples) == student.shape[1]
        log_p = F.log_softmax(time_mean(student) / self.tau, -1)
        parts = [F.kl_div(log_p, F.softmax(teacher[name] / self.tau, -1), reduction='batchmean')
                 for name in ('wide', 'narrow')]
        return self.loss_weight * sum(parts)


TAPS = dict(student=dict(feature='backbone.layer2', stages=['backbone.stem', 'backbone.layer1', 'backbone.layer2']),
            teacher=dict(feature='stage2', logits='fc', classifier='fc', stages=['stage1', 'stage1', 'stage2']))


def build(losses, teacher='one', taps=TAPS, **kwargs):
    torch.manual_seed(1)
    teacher = FrozenTeacher(tiny_cnn()) if teacher == 'one' else teacher
    return Distiller(student=tiny_student(), teacher=teacher, losses=losses, taps=taps, **{
        'input_shape': (1, 8, 8), **kwargs})


def reported(model):
    torch.manual_seed(3)
    return model(*batch(), mode='loss')


@pytest.fixture
def progress():
    """Sets how far a run is."""
    hub = MessageHub.get_current_instance()

    def set_to(value, epochs=10):
        hub.update_info('iter', int(1000 * value))
        hub.update_info('max_iters', 1000)
        hub.update_info('epoch', int(epochs * value))
        hub.update_info('max_epochs', epochs)

    set_to(0)
    yield set_to
    set_to(0)


def test_taps_are_names_for_the_paths_that_losses_take():
    by_path = reported(build(dict(loss_bkd=BKD, loss_wsld=WSLD), taps=None))
    by_tap = reported(build(dict(loss_bkd=dict(type='BKDLoss', loss_weight=1e-2),
                                 loss_wsld=dict(type='WSLDLoss', tau=2.0))))
    assert by_path.keys() == by_tap.keys() and all(torch.equal(by_path[key], by_tap[key]) for key in by_tap)


def test_nothing_is_recorded_that_no_loss_asks_for():
    model = build(dict(loss_cls=dict(type='StepsCrossEntropyLoss', loss_weight=1.0)), teacher=None)
    assert model.student_recorder.paths == ['head'] and model.teach(torch.zeros(1)) == {}
    assert build(dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0))).teacher_recorder.paths == ['fc']


def test_several_stages_come_as_a_list_with_their_channels():
    model = build(dict(loss_stages=dict(type='StagesLoss')))
    assert model.losses['loss_stages'].channels == ([4, 4, 8], [6, 6, 12])
    reported(model)['loss_stages'].backward()
    assert model.student.backbone.stem.conv.weight.grad.abs().sum() > 0


def test_the_teachers_classifier_is_frozen_and_lets_gradients_through():
    model = build(dict(loss_laf=dict(type='ClassifierLoss')))
    reported(model)['loss_laf'].backward()
    assert model.teacher.network.fc.weight.grad is None
    assert model.losses['loss_laf'].project.weight.grad.abs().sum() > 0
    assert not any('classifier' in key or 'fc' in key for key in model.state_dict() if 'losses' in key)


def test_two_teachers_are_two_names_and_a_mean():
    torch.manual_seed(5)
    ensemble = TeacherEnsemble(dict(wide=FrozenTeacher(tiny_cnn()), narrow=FrozenTeacher(tiny_cnn())))
    taps = dict(teacher=dict(logits='average', wide='wide.fc', narrow='narrow.fc', feature='narrow.stage2'))
    losses = dict(loss_two=dict(type='TwoTeachersLoss', tau=2.0, teacher=dict(wide='wide', narrow='narrow')),
                  loss_kd=dict(type='LogitsKDLoss', tau=2.0), loss_bkd=dict(type='BKDLoss', loss_weight=1e-2,
                                                                             student='backbone.layer2'))
    model = build(losses, teacher=ensemble, taps=taps)
    x, samples = batch()
    recorded = model.teach(x)
    torch.testing.assert_close(recorded['average'], (recorded['wide.fc'] + recorded['narrow.fc']) / 2)
    assert not torch.equal(recorded['wide.fc'], recorded['narrow.fc'])
    assert set(model(x, samples, mode='loss')) == {'loss_cls', *losses}
    assert not any('teacher' in key for key in model.state_dict())


def test_the_students_own_loss_is_one_of_the_losses():
    kd = dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0))
    own = reported(build(kd))
    half = reported(build(dict(kd, loss_cls=dict(loss_weight=0.5))))
    torch.testing.assert_close(half['loss_cls'], own['loss_cls'] / 2)
    assert set(reported(build(dict(kd, loss_cls=None)))) == {'loss_kd'}
    replaced = reported(build(dict(kd, loss_cls=dict(type='StepsCrossEntropyLoss'))))
    assert list(replaced) == ['loss_kd', 'loss_cls'] and replaced['loss_cls'] != own['loss_cls']
    assert replaced['loss_kd'] == own['loss_kd']


@pytest.mark.parametrize('kind, points, want', [
    ('linear', [(0, 1.0), (1, 0.0)], [1.0, 0.75, 0.5, 0.0]),
    ('cosine', [(0, 1.0), (1, 0.0)], [1.0, (1 + 0.5**0.5) / 2, 0.5, 0.0]),
    ('step', [(0, 1.0), (0.5, 3.0), (1, 4.0)], [1.0, 1.0, 3.0, 4.0]),
    ('linear', [(0, 0.0), (0.25, 2.0), (1, 2.0)], [0.0, 2.0, 2.0, 2.0])])
def test_schedules_are_their_closed_forms(kind, points, want):
    schedule = Schedule(points, kind)
    assert [schedule(at) for at in (0, 0.25, 0.5, 1.0)] == pytest.approx(want)


def test_weights_and_temperatures_follow_training(progress):
    fading = dict(points=[(0, 1.0), (1, 0.2)])
    model = build(dict(loss_cls=dict(loss_weight=fading), loss_kd=dict(type='LogitsKDLoss', tau=dict(
        points=[(0, 1.0), (1, 4.0)], by_epoch=True)), loss_wsld=dict(type='WSLDLoss', tau=2.0)))
    fixed = build(dict(loss_kd=dict(type='LogitsKDLoss', tau=2.5), loss_wsld=dict(type='WSLDLoss', tau=2.0)))
    progress(0.5)
    got, want = reported(model), reported(fixed)
    torch.testing.assert_close(got['loss_cls'], 0.6 * want['loss_cls'])
    torch.testing.assert_close(got['loss_kd'], want['loss_kd'])
    progress(0.55)  # in the same epoch
    assert reported(model)['loss_kd'] == got['loss_kd'] and reported(model)['loss_cls'] < got['loss_cls']


def test_what_changes_by_epoch_moves_in_steps_where_training_goes_by_iterations(tmp_path):
    """mmengine counts no epochs there."""
    cfg = demo_config('plain', tmp_path, epochs=1)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'EpochSeedHook']
    cfg.train_cfg, seen = dict(by_epoch=False, max_iters=3, val_interval=3), []
    cfg.default_hooks.checkpoint.by_epoch = False
    cfg.model = dict(type='Distiller', student=cfg.model, losses=dict(loss_cls=dict(
        type='StepsCrossEntropyLoss', loss_weight=dict(points=[(0, 1.0), (1, 4.0)], by_epoch=True))))
    runner = Runner.from_cfg(cfg)
    runner.model.losses['loss_cls'].register_forward_hook(lambda loss, *_: seen.append(loss.loss_weight))
    runner.train()
    assert seen == pytest.approx([1.0, 2.0, 3.0])


def test_losses_see_the_progress_of_training(progress):
    model = build(dict(loss_tks=dict(type='StepwiseLoss', tau=3.0)))
    values = []
    for at in (0, 0.5, 1.0):
        progress(at)
        values.append(reported(model)['loss_tks'].item())
    assert values[1] == pytest.approx((values[0] + values[2]) / 2) and values[0] != values[2]


@pytest.mark.parametrize('change, words', [
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0)), teacher=None),
     ['model.losses.loss_kd', 'model.teacher is missing']),
    (dict(losses=dict(loss_bkd=dict(type='BKDLoss', loss_weight=1.0, student='featur'))),
     ['model.losses.loss_bkd.student', "'featur'", "feature='backbone.layer2'", 'model.taps.student']),
    (dict(losses=dict(loss_laf=dict(type='ClassifierLoss', teacher_part='head'))),
     ['model.losses.loss_laf.teacher', "'head'", "classifier='fc'"]),
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0, student=3))), ['model.losses.loss_kd.student=3']),
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0, loss_weight=dict(points=[(0, 1), (0.5, 2)])))),
     ['loss_weight', 'rise from progress 0 to 1', 'add it at 1']),
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=1.0, loss_weight=dict(points=[(0, 1), (1, -1)])))),
     ['model.losses.loss_kd', 'must be a positive number']),
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=dict(points=[(0, 1), (1, 0)])))), ['tau', 'positive']),
    (dict(losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=dict(points=[(0, 1), (1, float('nan'))])))),
     ['tau', 'finite']),
    (dict(losses=dict(loss_cls=None)), ['model.losses is empty']),
    (dict(losses=dict(loss_bkd=BKD), taps=dict(teachr=dict(logits='fc'))), ['model.taps.teachr']),
    (dict(losses=dict(loss_bkd=BKD), taps=dict(teacher=dict(logits=''))), ["model.taps.teacher.logits=''"]),
])
def test_bad_input_is_named_when_the_model_is_built(change, words):
    with pytest.raises(ValueError) as error:
        build(**change)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_labels_and_mixup_exclude_each_other():
    student = dict(tiny_student(), train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
                   data_preprocessor=dict(num_classes=10))
    with pytest.raises(ValueError, match='loss_laf.*needs labels.*train_cfg.augments'):
        Distiller(student, FrozenTeacher(tiny_cnn()), dict(loss_laf=dict(type='ClassifierLoss')), taps=TAPS)


def test_forward_that_asks_for_more_than_there_is_is_named():
    @MODELS.register_module(force=True)
    class GreedyLoss(DistillLoss):
        def forward(self, student, weather):
            return student.sum()

    with pytest.raises(ValueError, match="loss_x: GreedyLoss.forward asks for 'weather'"):
        build(dict(loss_x=dict(type='GreedyLoss')))


def test_teacher_that_no_loss_uses_is_not_built():
    model = build(dict(loss_cls=dict(type='StepsCrossEntropyLoss')), teacher=dict(type='no such teacher'))
    assert model.teacher is None and set(reported(model)) == {'loss_cls'}


def test_student_of_another_task_is_named():
    MODELS.register_module('MapHead', force=True, module=lambda **_: torch.nn.Identity())
    student = dict(tiny_student(), head=dict(type='MapHead'))
    with pytest.raises(ValueError, match='takes a student that gives logits.*model.task'):
        Distiller(student, None, dict(loss_cls=dict(type='StepsCrossEntropyLoss')), input_shape=(1, 8, 8))


def test_teacher_free_run_trains_saves_and_resumes_its_schedule(tmp_path):
    def run(folder, **options):
        cfg = demo_config('plain', tmp_path / folder, epochs=2, **options)
        cfg.model = dict(type='Distiller', student=cfg.model, losses=dict(loss_cls=dict(
            type='StepsCrossEntropyLoss', loss_weight=dict(points=[(0, 1.0), (1, 0.1)]))))
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner.model.state_dict()

    whole = run('whole')
    resumed = run('resumed', resume=True, load_from=str(tmp_path / 'whole' / 'epoch_1.pth'))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_losses_of_one_students_and_one_teachers_tensor_keep_their_arguments():
    seen = []

    @MODELS.register_module(force=True)
    class OldLoss(torch.nn.Module):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher

        def forward(self, student, teacher, target=None):
            seen.append((student.shape, teacher.shape, target.shape))
            return student.mean()

    reported(build(dict(loss_old=dict(type='OldLoss', student='head', teacher='stage2'))))
    assert seen[-1] == ((2, 6, 10), (6, 12, 4, 4), (6, ))
    student = dict(tiny_student(), train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
                   data_preprocessor=dict(num_classes=10))  # of which such a class says nothing
    assert Distiller(student, FrozenTeacher(tiny_cnn()), dict(loss_old=dict(
        type='OldLoss', student='head', teacher='stage2')), input_shape=(1, 8, 8)).losses


def test_paper_losses_still_take_what_they_took():
    loss = WSLDLoss(tau=2.0)
    x = torch.randn(3, 4)
    with pytest.raises(ValueError, match='the target must be labels'):
        loss(x, x, None)
    assert BKDLoss('a', 'b', 3, 3, loss_weight=1.0)(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), None).dim() == 0
