"""Copies of a distiller, and wrappers around it: the same losses, and one teacher for all."""
import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn import init_model
from bkdsnn.checkpoints.files import load_file
from bkdsnn.models import Distiller, FeatureRecorder, FrozenTeacher, TeacherEnsemble
from bkdsnn.models.distillers.recorder import find_module
from bkdsnn.registry import MODELS
from helpers import assert_same_checkpoint, demo_config, tiny_student

LOSSES = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=1e-2),
              loss_wsld=dict(type='WSLDLoss', student='head', teacher='fc', tau=2.0))


class Chain(nn.Sequential):
    """With a forward of its own, since older PyTorch compiles none of nn's."""

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


def cnn():
    """A teacher that can be pickled."""
    return Chain(OrderedDict(
        stage1=nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        stage2=nn.Sequential(nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
        pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(12, 10)))


def build(teacher=None, losses=LOSSES, T=2, **options):
    torch.manual_seed(1)
    teacher = FrozenTeacher(teacher or cnn(), mean=[3.0], std=[7.0], **options)
    return Distiller(tiny_student(T=T), teacher, losses, input_shape=(1, 8, 8))


def run(model, dtype=torch.float32):
    """Losses and gradients."""
    torch.manual_seed(2)  # images and blur
    images, samples = torch.randn(6, 1, 8, 8).to(dtype), [DataSample().set_gt_label(i) for i in range(6)]
    model.zero_grad()
    losses = model(images, samples, mode='loss')
    sum(losses.values()).backward()
    return [*losses.values(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


def assert_equal(got, want):
    assert len(got) == len(want) > 5
    for a, b in zip(got, want):
        assert torch.equal(a, b)


@pytest.mark.parametrize('change', [lambda model: model.half(), lambda model: model.to('meta')], ids=['half', 'meta'])
def test_an_ensemble_loses_nothing_for_a_copy(change):
    torch.manual_seed(0)
    ensemble = TeacherEnsemble(dict(one=FrozenTeacher(cnn()), two=FrozenTeacher(cnn())))
    x, before = torch.randn(2, 1, 8, 8), copy.deepcopy(ensemble.network.state_dict())
    want = ensemble(x)
    change(copy.deepcopy(nn.Sequential(ensemble)))
    assert torch.equal(ensemble(x), want)
    assert all(torch.equal(value, before[key]) for key, value in ensemble.network.state_dict().items())


def unpickled(model):
    return pickle.loads(pickle.dumps(model))


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize('how', [copy.deepcopy, copy.copy, unpickled, saved,
                                 lambda model: copy.deepcopy(unpickled(copy.deepcopy(model)))])
@pytest.mark.parametrize('teacher', ['ANN', 'spiking'])
def test_a_copy_computes_the_same_losses_and_gradients(how, teacher):
    if teacher == 'ANN':
        model = build()
    else:
        model = build(MODELS.build(tiny_student(T=3)), dict(
            loss_bkd=dict(LOSSES['loss_bkd'], teacher='backbone.layer2'), loss_wsld=dict(LOSSES['loss_wsld'],
                                                                                         teacher='head')))
    made = how(model)
    assert_equal(run(made), run(model))
    # What they have recorded is their own.
    with made.student_recorder as recorder:
        made.student(torch.randn(2, 1, 8, 8))
    assert set(recorder.features) == {'backbone.layer2', 'head'}


def test_a_copy_learns_by_itself_and_shares_the_teacher():
    model = build()
    made, before = copy.deepcopy(model), copy.deepcopy(model.state_dict())
    assert made.teacher is model.teacher and unpickled(model).teacher is not model.teacher
    weights = {id(parameter) for parameter in model.parameters()}
    assert not any(id(parameter) in weights for parameter in made.parameters())
    # No part of the teacher comes along by another way.
    frozen = {type(module) for module in model.teacher.network.modules()} - {type(module) for module in model.modules()}
    held = [thing for value in vars(made).values() if isinstance(value, nn.Module) and value is not made.teacher
            for thing in value.modules()]
    assert frozen and not any(type(thing) in frozen for thing in held)
    run(made)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter -= 0.1 * parameter.grad
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not torch.equal(run(made)[0], run(model)[0])


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_a_copy_in_another_precision_leaves_the_teacher_to_the_others(dtype):
    """Nothing of it is rounded, so that the losses of the model stay what they are."""
    model = build()
    want = run(model)
    weights = copy.deepcopy(model.teacher.network.state_dict())
    made = copy.deepcopy(model).to(dtype)
    if dtype == torch.float64:
        assert all(value.dtype == dtype for value in run(made, dtype))
    assert_equal(run(model), want)
    for key, value in model.teacher.network.state_dict().items():
        assert torch.equal(value, weights[key]) and value.dtype == weights[key].dtype, key


@pytest.mark.parametrize('device', ['meta', pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='there is no GPU'))])
def test_a_copy_elsewhere_leaves_the_teacher_to_the_others(device):
    """As EMA's ``device`` puts it."""
    model = build()
    want = run(model)
    copy.deepcopy(model).to(device)
    assert_equal(run(model), want)


def test_a_teacher_that_was_given_in_fp64_stays_so():
    teacher = FrozenTeacher(cnn().double())
    images = torch.randn(2, 1, 8, 8)
    want = teacher.network(images.double())
    assert torch.equal(teacher(images), want) and torch.equal(teacher.float()(images), want)


def test_a_teachers_own_precision_stays_whatever_the_model_is_in():
    model = build(dtype='bfloat16', emulate=True).double()
    losses = run(model, torch.float64)
    assert {parameter.dtype for parameter in model.teacher.parameters()} == {torch.bfloat16}
    assert all(loss.dtype == torch.float64 for loss in losses)


def backend(graph, examples):
    """A compiler that counts, and can be pickled."""
    compiled.append(graph)
    return graph


compiled = []


def test_an_unpickled_teacher_is_compiled_as_before():
    teacher = unpickled(FrozenTeacher(cnn(), compile=dict(backend=backend)))
    assert not compiled and teacher.compiles
    teacher(torch.randn(2, 1, 8, 8))
    assert compiled


# ---- wrappers ----

@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_wrapped_parts_are_recorded_by_the_same_paths(one_process):
    want = run(build(T=1))
    model = build(T=1)
    model.student.backbone = MMDistributedDataParallel(model.student.backbone)
    assert_equal(run(model), want)
    model = build(T=1)
    model.student.backbone.layer2 = torch.compile(model.student.backbone.layer2, backend='eager')
    assert_equal(run(model), want)
    model = build(T=1)
    model.student = torch.compile(model.student, backend='eager')
    assert_equal(run(model), want)


def test_a_wrapped_distiller_and_its_copy(one_process):
    want = run(build())
    wrapped = MMDistributedDataParallel(build())
    assert_equal(run(wrapped.module), want)
    assert_equal(run(copy.deepcopy(wrapped.module)), want)
    images, samples = torch.randn(6, 1, 8, 8), [DataSample().set_gt_label(i) for i in range(6)]
    assert set(wrapped(images, samples, mode='loss')) == {'loss_cls', 'loss_bkd', 'loss_wsld'}


def test_modules_are_looked_up_when_they_are_recorded():
    """mmengine's ``sync_bn`` replaces norms after the model is built; a part may be replaced too."""
    losses = dict(loss_bkd=dict(LOSSES['loss_bkd'], student='backbone.layer2'))
    model = build(losses=losses)
    want = run(model)
    model.student.backbone.layer2 = copy.deepcopy(model.student.backbone.layer2)
    assert_equal(run(model), want)
    model.student = copy.deepcopy(model.student)
    assert_equal(run(model), want)


def test_find_module_says_where_there_is_none():
    model = build()
    assert find_module(model, 'student.backbone.layer2') is model.student.backbone.layer2
    assert find_module(model, 'student.backbone.layer2.nothing') is None
    assert find_module(model, 'student.T') is None and find_module(model, '') is None
    shared = nn.Linear(2, 2)
    assert find_module(nn.Sequential(shared, shared), '1') is shared
    with pytest.raises(ValueError, match="model has no module 'student.x' to record.*student.head"):
        FeatureRecorder(model, ['student.x'])


# ---- EMA ----

def ema_run(folder, teacher, epochs, **options):
    cfg = demo_config('mixed', folder, teacher, epochs, **{
        'model.student.backbone.arch.widths': (8, 8, 16), 'model.student.head.in_channels': 16,
        'optim_wrapper.optimizer.lr': 0.05, 'train_cfg.val_interval': 1, **options})
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    return Runner.from_cfg(cfg)


def test_a_run_with_ema_trains_validates_saves_and_resumes(tmp_path, small_teacher):
    whole = ema_run(tmp_path / 'whole', small_teacher, 2)
    whole.train()
    averaged = next(hook for hook in whole.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
    model = whole.model
    assert averaged.teacher is model.teacher and not any('teacher' in key for key in averaged.state_dict())
    data = model.data_preprocessor(next(iter(whole.train_dataloader)), False)
    for network in (model, averaged):
        losses = network.eval()(**data, mode='loss')
        assert set(losses) == {'loss_cls', 'loss_bkd', 'loss_wsld'} and all(map(torch.isfinite, losses.values()))
    # What is saved to be used are the averages; the trained weights are beside them.
    saved = load_file(str(tmp_path / 'whole' / 'epoch_2.pth'))
    for key, value in averaged.state_dict().items():
        assert torch.equal(saved['state_dict'][key], value), key
        assert torch.equal(saved['ema_state_dict'][f'module.{key}'], model.state_dict()[key])
    assert not torch.equal(saved['state_dict']['student.head.fc.weight'], model.student.head.fc.weight)
    student = init_model(str(next((tmp_path / 'whole').glob('*.py'))), str(tmp_path / 'whole'))
    assert torch.equal(student.head.fc.weight, averaged.student.head.fc.weight)
    resumed = ema_run(tmp_path / 'resumed', small_teacher, 2, resume=True,
                      load_from=str(tmp_path / 'whole' / 'epoch_1.pth'))
    resumed.train()
    again = load_file(str(tmp_path / 'resumed' / 'epoch_2.pth'))
    assert_same_checkpoint(saved, again)
    assert all(torch.equal(value, again['ema_state_dict'][key]) for key, value in saved['ema_state_dict'].items())
