"""Tasks: the page's per-pixel one, beside classification."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from test_docs import blocks

from bkdsnn import SpikingInferencer, init_model
from bkdsnn.engine import TeacherCheckHook
from bkdsnn.evaluation import MemoryPlanner
from bkdsnn.models import ClassificationTask, Distiller, FrozenTeacher, Task, TeacherEnsemble
from bkdsnn.models.data_preprocessor import EventDataPreprocessor, ImageDataPreprocessor
from bkdsnn.models.teachers.lazy import LazyTeacher
from bkdsnn.registry import MODELS
from bkdsnn.report.networks import step_logits
from bkdsnn.visualization.recording import record
from helpers import REPOSITORY, assert_same_checkpoint, tiny_cnn, tiny_student

PAGE = REPOSITORY / 'docs' / 'another_task.md'


@pytest.fixture
def pixels(user_folder):
    """The page's config with an untrained teacher, few scans and two epochs."""
    for block in blocks(PAGE):
        if block.caption:
            (user_folder / block.caption).write_text(block.code, encoding='utf-8')
    cfg = Config.fromfile('pixels.py')
    cfg.merge_from_dict({'model.teacher.expected_accuracy': None, 'train_dataloader.dataset.labels_per_class': 5,
                         'train_dataloader.batch_size': 20, 'val_dataloader.dataset.labels_per_class': 2,
                         'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.interval': 1})
    torch.save(dict(state_dict=MODELS.build(cfg.teacher).state_dict()), user_folder / 'teacher.pth')
    cfg.model.teacher.checkpoint = 'teacher.pth'
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        yield cfg


def batch(size=3):
    samples = [DataSample().set_mask(torch.randint(2, (8, 8))) for _ in range(size)]
    return torch.randn(size, 1, 8, 8), samples


def test_gray_values_alone_do_not_tell_the_pixels_of_the_page(pixels):
    """What its students are measured against."""
    dataset = Runner.build_dataloader(pixels.test_dataloader).dataset
    assert torch.equal(dataset[5]['inputs'], dataset[5]['inputs']), 'noise drawn anew'
    inputs, masks = zip(*((sample['inputs'][0], sample['data_samples'].mask) for sample in dataset))
    inputs, masks = torch.stack(inputs), torch.stack(masks).bool()
    assert (~masks).double().mean() == pytest.approx(0.68, abs=0.005)
    best = max(((inputs > threshold) == masks).double().mean() for threshold in range(256))
    assert best == pytest.approx(0.79, abs=0.005)


def test_run_of_another_task_resumes_exactly(pixels, user_folder):
    def run(folder, **options):
        cfg = copy.deepcopy(pixels)
        cfg.update(work_dir=folder, **options)
        Runner.from_cfg(cfg).train()
        return torch.load(user_folder / folder / 'epoch_2.pth', weights_only=False)

    assert_same_checkpoint(run('whole'), run('resumed', resume=True, load_from='whole/epoch_1.pth'))


def test_losses_of_another_task_reach_its_student(pixels):
    pixels.model.losses.loss_bkd = dict(type='BKDLoss', teacher='backbone', loss_weight=1e-2)  # as of any task
    model, (x, samples) = MODELS.build(pixels.model), batch()
    losses = model(x, samples, mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bkd', 'loss_pixel'}
    losses['loss_pixel'].backward()
    assert all(p.grad.abs().sum() > 0 for p in (model.student.backbone.stem.conv.weight,
                                                model.student.head.classifier.weight))
    # Its mean over pixels is Hinton's over as many samples.
    student, teacher = model.student.eval()(x).mean(0), model.teacher(x)
    loss = model.losses['loss_pixel']
    each = [torch.nn.functional.kl_div((student[b, :, i, j] / 2).log_softmax(0), (teacher[b, :, i, j] / 2).softmax(0),
                                       reduction='sum') for b in range(3) for i in range(8) for j in range(8)]
    torch.testing.assert_close(loss(student, teacher), 4 * 4.0 * torch.stack(each).mean())
    predicted = model(x, mode='predict')
    assert torch.equal(predicted[1].pred_mask, student[1].argmax(0)) and 'mask' not in predicted[1]


def test_teacher_of_another_task_is_measured_over_pixels(pixels):
    model, loader = MODELS.build(pixels.model), Runner.build_dataloader(pixels.val_dataloader)
    (data, ) = loader
    right = [(model.teacher(model.data_preprocessor(data)['inputs']).argmax(1)[i] == sample.mask).double().mean()
             for i, sample in enumerate(data['data_samples'])]
    assert TeacherCheckHook.measure(model, loader) == pytest.approx(100 * sum(right).item() / 20, abs=1e-3)


def test_teacher_that_answers_another_task_is_not_measured(pixels):
    """A classifier may teach features to a student that classifies pixels, and the other way round."""
    model, loader = MODELS.build(pixels.model), Runner.build_dataloader(pixels.val_dataloader)
    of_pixels = model._teacher
    model._teacher = LazyTeacher(FrozenTeacher(tiny_cnn()), model.data_preprocessor)
    assert TeacherCheckHook.measure(model, loader) is None
    model.task = ClassificationTask()
    assert TeacherCheckHook.measure(model, loader) is not None
    model._teacher = of_pixels
    assert TeacherCheckHook.measure(model, loader) is None


def test_task_that_does_not_fit_the_head_is_named_when_the_model_is_built(pixels):
    forgotten = {key: value for key, value in pixels.model.items() if key != 'task'}
    with pytest.raises(ValueError, match=r'ClassificationTask takes .*logits \(T, B, K\).*'
                                         r'gives \(2, 1, 2, 8, 8\).*model.task'):
        MODELS.build(forgotten)
    with pytest.raises(ValueError, match=r'PixelTask takes .*\(T, B, K, H, W\).*gives \(2, 1, 10\).*model.task'):
        MODELS.build(dict(pixels.model, student=tiny_student()))
    with pytest.raises(ValueError, match=r'PixelTask takes .* but for one sample it gives tuple.'):
        MODELS.build(dict(pixels.model, student=dict(pixels.student, head=None), losses=dict(
            loss_bkd=dict(type='BKDLoss', teacher='backbone', loss_weight=1.0))))
    with pytest.raises(ValueError, match='model.task: SpikingClassifier is no Task'):
        MODELS.build(dict(pixels.model, task=tiny_student()))


def test_teacher_with_maps_of_another_size_is_named_when_the_model_is_built(pixels):
    pixels.model.teacher.input_size = 16
    with pytest.raises(ValueError, match=r'model.losses.loss_pixel: PixelKDLoss: .*\(1, 2, 8, 8\).*\(1, 2, 16, 16\)'):
        MODELS.build(pixels.model)


def test_samples_are_not_mixed_where_the_targets_are_not(pixels):
    pixels.model.student.train_cfg = dict(augments=dict(type='Mixup', alpha=0.8))
    pixels.model.data_preprocessor = pixels.data_preprocessor
    with pytest.raises(ValueError, match='PixelTask: model.student.train_cfg.augments .* mixes images and labels'):
        MODELS.build(pixels.model)


def test_adapter_that_lacks_a_method_is_named_when_the_model_is_built():
    @MODELS.register_module(force=True)
    class HalfTask(Task):
        def targets(self, data_samples):
            return torch.zeros(len(data_samples))

    with pytest.raises(TypeError, match='HalfTask.*answers.*check_output.*example'):
        Distiller(tiny_student(), None, dict(loss_cls=dict(type='TETLoss')), task=dict(type='HalfTask'))


def test_weight_of_a_loss_that_the_head_does_not_log_is_an_error(pixels):
    model = MODELS.build(dict(pixels.model, losses=dict(pixels.model.losses, loss_cls=dict(loss_weight=0.5))))
    x, samples = batch()
    own = model(x, samples, mode='loss')['loss_cls']
    head = model.student.head
    head.loss = lambda feats, samples, named=head.loss: dict(loss_mask=named(feats, samples)['loss_cls'])
    with pytest.raises(ValueError, match='model.losses.loss_cls: the student logs loss_mask'):
        model(x, samples, mode='loss')
    assert own > 0


@pytest.mark.parametrize('preprocessor', [ImageDataPreprocessor(mean=[0.5], std=[0.5]), EventDataPreprocessor()])
def test_all_that_samples_hold_goes_to_the_device(preprocessor):
    frames, samples = torch.rand(3, 2, 1, 8, 8), [sample.set_gt_label(1) for sample in batch()[1]]
    for sample in samples:
        sample.set_field('scan', 'name')
    data = preprocessor.to('meta')(dict(inputs=frames if 'Event' in type(preprocessor).__name__ else frames[:, 0],
                                        data_samples=samples))
    assert all(sample.mask.is_meta and sample.gt_label.is_meta and sample.name == 'scan'
               for sample in data['data_samples'])
    assert data['inputs'].is_meta


def test_teachers_of_another_task_teach_together(pixels):
    teachers = dict(a=FrozenTeacher(MODELS.build(pixels.teacher)), b=FrozenTeacher(MODELS.build(pixels.teacher)))
    x = batch()[0]
    torch.testing.assert_close(TeacherEnsemble(teachers)(x), (teachers['a'](x) + teachers['b'](x)) / 2)
    teachers['b'].input_size = (4, 4)
    with pytest.raises(ValueError, match=r"differ in shape, .*'a': \(3, 2, 8, 8\), 'b': \(3, 2, 4, 4\)"):
        TeacherEnsemble(teachers)(x)


def test_what_is_about_classes_says_so(pixels):
    model = init_model(pixels)
    data = pseudo_collate([dict(inputs=torch.zeros(1, 8, 8), data_samples=DataSample())])
    for ask in (lambda: record(model, data), lambda: step_logits(model, data),
                lambda: SpikingInferencer(model)._predict([dict(inputs=torch.zeros(1, 8, 8))], None, None)):
        with pytest.raises(ValueError, match='but .*the network gives .*2, 8, 8.*, not logits'):
            ask()


def test_memory_of_another_task_is_planned(pixels):
    planner = MemoryPlanner(pixels)
    small, large = planner.plan(8), planner.plan(16)
    assert large.parts['activations'] == pytest.approx(2 * small.parts['activations'], rel=0.01)
    assert small.modules['student.backbone.stem.neuron'] > 0
