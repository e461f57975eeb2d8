"""Training in mixed precision: on a CPU too, with finite gradients, fp32 losses and runs that resume."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from mmpretrain.structures import DataSample

from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine import AmpOptimWrapper
from bkdsnn.engine.amp import amp_dtype
from bkdsnn.engine.hooks.resume_check_hook import ResumeCheckHook
from bkdsnn.models import FrozenTeacher
from bkdsnn.models.neurons import BaseNode
from bkdsnn.registry import MODELS
from bkdsnn.utils.processor import cpu_computes_in_bfloat16
from helpers import (
    MIXUP,
    assert_same_checkpoint,
    demo_config,
    digits_batch,
    small_distiller,
    small_network,
    tiny_cnn,
    tiny_student,
)

# Emulated where the processor has no bfloat16, so that what is tested does not depend on it.
BF16 = dict(dtype='bfloat16', emulate=True)
AMP = {'optim_wrapper.type': 'AmpOptimWrapper', **{f'optim_wrapper.{key}': value for key, value in BF16.items()}}


def small_run(folder, teacher, epochs, **options):
    """A distillation run of a tiny student without the parts that take time; two steps an epoch."""
    cfg = demo_config('mixed', folder, teacher, epochs, **{
        'model.student.backbone.arch.widths': (8, 8, 16), 'model.student.head.in_channels': 16,
        'optim_wrapper.optimizer.lr': 0.05, **options})
    return Runner.from_cfg(cfg)


def test_bfloat16_that_would_be_emulated_is_refused_unless_it_is_asked_for(monkeypatch):
    for module in ('engine.amp', 'models.teachers.frozen_teacher'):
        monkeypatch.setattr(f'bkdsnn.{module}.cpu_computes_in_bfloat16', lambda: False)
        monkeypatch.setattr(f'bkdsnn.{module}.get_device', lambda: 'cpu')
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    for build, key in ((lambda **kwargs: AmpOptimWrapper(optimizer=optimizer, **kwargs), 'optim_wrapper'),
                       (lambda **kwargs: FrozenTeacher(tiny_cnn(), **kwargs), 'model.teacher')):
        with pytest.raises(ValueError, match=f'no instructions for bfloat16.* set {key}.emulate=True'):
            build(dtype='bfloat16')
        build(**BF16)


def test_two_hundred_steps_in_bfloat16_learn_as_in_fp32_with_finite_gradients():
    curves = []
    for wrapper in (dict(type='OptimWrapper'), dict(type='AmpOptimWrapper', **BF16)):
        model = small_distiller()
        wrapper = build_optim_wrapper(model, dict(wrapper, optimizer=dict(type='SGD', lr=0.2, momentum=0.9),
                                                  clip_grad=dict(max_norm=5.0)))
        curve, dtypes = [], set()
        model.student.backbone.layer2.register_forward_hook(lambda _, args, out: dtypes.add(out.dtype))  # noqa: B023
        wrapper.optimizer.register_step_pre_hook(check_finite)
        for step in range(200):
            log = model.train_step(digits_batch(step), wrapper)
            curve.append([log[key].item() for key in ('loss', 'loss_cls', 'loss_bkd', 'loss_wsld')])
        assert dtypes == {torch.bfloat16 if curves else torch.float32}
        curves.append(torch.tensor(curve).view(10, 20, 4).mean(1))
    fp32, bf16 = curves
    assert (bf16[-1] < 0.9 * bf16[0]).all()
    torch.testing.assert_close(bf16, fp32, rtol=0.1, atol=0)
    assert not torch.equal(bf16, fp32)


def check_finite(optimizer, args, kwargs):
    for parameter in optimizer.param_groups[0]['params']:
        assert parameter.dtype == torch.float32 and parameter.grad.isfinite().all()


def test_run_in_bfloat16_resumes_bit_for_bit(tmp_path, small_teacher):
    small_run(tmp_path / 'whole', small_teacher, 4, **AMP, **{'default_hooks.checkpoint.max_keep_ckpts': -1}).train()
    small_run(tmp_path / 'resumed', small_teacher, 4, **AMP, resume=True,
              load_from=str(tmp_path / 'whole' / 'epoch_2.pth')).train()
    assert_same_checkpoint(*(load_file(str(tmp_path / name / 'epoch_4.pth')) for name in ('whole', 'resumed')))


def test_what_the_device_cannot_do_is_an_error_before_the_first_step(tmp_path, small_teacher):
    for wrong, words in ((dict(dtype='float16'), "dtype='float16' needs a GPU"),
                         (dict(dtype='float8'), "dtype='float8' is unknown"),
                         (dict(dtype='float32'), "dtype='float32' is unknown"),
                         (dict(loss_scale=512.0), r'loss_scale=512\.0 is for float16')):
        runner = small_run(tmp_path, small_teacher, 1, **{
            'optim_wrapper.type': 'AmpOptimWrapper', **{f'optim_wrapper.{key}': value for key, value in wrong.items()}})
        with pytest.raises(ValueError, match=words):
            runner.train()
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('supports, dtype', [(True, torch.bfloat16), (False, torch.float16)])
def test_default_on_a_gpu_is_bfloat16_where_it_computes_in_it(monkeypatch, supports, dtype):
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda including_emulation=True: supports)
    assert amp_dtype(device='cuda') is dtype and amp_dtype('float16', 'cuda') is torch.float16
    if not supports:
        with pytest.raises(ValueError, match='does not compute in bfloat16'):
            amp_dtype('bfloat16', 'cuda')


def test_bfloat16_scales_no_loss_and_its_state_is_that_of_the_optimizer():
    parameter = torch.nn.Parameter(torch.ones(2))
    wrapper = AmpOptimWrapper(**BF16, optimizer=torch.optim.SGD([parameter], lr=1.0), accumulative_counts=2,
                              clip_grad=dict(max_norm=100.0))
    assert not wrapper.loss_scaler.is_enabled() and wrapper.cast_dtype is torch.bfloat16
    for _ in range(2):
        wrapper.update_params((parameter * torch.tensor([1.0, 2.0])).sum())
    assert parameter.tolist() == [0.0, -1.0]
    wrapper.load_state_dict(wrapper.state_dict())


def test_a_whole_number_is_a_scale_too(monkeypatch):
    """mmengine takes fractions alone."""
    taken = []
    monkeypatch.setattr('bkdsnn.engine.amp.get_device', lambda: 'cuda')
    monkeypatch.setattr(AmpOptimWrapper, '_choose', staticmethod(lambda *arguments: torch.float16))
    monkeypatch.setattr(AmpOptimWrapper.__mro__[1], '__init__', lambda self, scale, *_, **__: taken.append(scale))
    for scale in (512, 512.0, 'dynamic'):
        AmpOptimWrapper(scale)
    assert taken == [512, 512, 'dynamic'] and type(taken[0]) is float


def test_a_state_without_a_scale_is_taken_by_a_run_that_scales(monkeypatch):
    """As of bfloat16, where float16 goes on."""
    hook, scaler = ResumeCheckHook(), torch.amp.GradScaler('cpu')
    monkeypatch.setattr('bkdsnn.engine.hooks.resume_check_hook.changed_settings', lambda *arguments: {})
    monkeypatch.setattr('bkdsnn.engine.hooks.resume_check_hook.check_changes', lambda *arguments: None)
    for state, stays in (({}, False), (scaler.state_dict(), True)):
        checkpoint = dict(meta={}, optimizer=dict(loss_scaler=state, state={}))
        hook.after_load_checkpoint(SimpleNamespace(_resume=True), checkpoint)
        assert ('loss_scaler' in checkpoint['optimizer']) == stays


@pytest.mark.parametrize('capabilities, found', [
    (dict(avx2=True, avx512_bf16=False, amx_bf16=False), False), (dict(avx512_bf16=True), True),
    (dict(neon=True, sve_bf16=True), True), (dict(), False)])
def test_processors_that_compute_in_bfloat16_are_known(monkeypatch, capabilities, found):
    monkeypatch.setattr('torch.cpu.get_capabilities', lambda: capabilities, raising=False)
    assert cpu_computes_in_bfloat16() is found


def test_a_recipe_takes_fp32_where_the_processor_has_no_bfloat16_and_says_so(monkeypatch):
    def wrapper(**arguments):
        made = AmpOptimWrapper(optimizer=torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=1.0), **arguments)
        with made.optim_context(torch.nn.Linear(1, 1)):
            return made, torch.is_autocast_enabled('cpu')

    said = []
    monkeypatch.setattr('bkdsnn.engine.amp.log_once', said.append)
    for has, arguments, dtype, words in (
            (True, {}, torch.bfloat16, 'Mixed precision: bfloat16.'),
            (False, {}, None, 'Mixed precision: off, in fp32'),
            (False, BF16, torch.bfloat16, 'Mixed precision: bfloat16, which this CPU has no')):
        monkeypatch.setattr('bkdsnn.engine.amp.cpu_computes_in_bfloat16', lambda: has)  # noqa: B023
        made, mixed = wrapper(**arguments)
        assert made.cast_dtype is dtype and mixed is (dtype is not None)
        assert said.pop().startswith(words) and not said
        made.load_state_dict(made.state_dict())  # of either, so that a run may go on elsewhere
        made.load_state_dict(wrapper(**BF16)[0].state_dict())
        said.clear()


def test_losses_and_membranes_are_fp32_with_soft_labels_too():
    """Of a bf16 loss the third digit would be rounded."""
    torch.manual_seed(0)
    model = MODELS.build(dict(tiny_student(), train_cfg=MIXUP, data_preprocessor=dict(num_classes=10)))
    samples = [DataSample().set_gt_label(i) for i in range(6)]
    batch = model.data_preprocessor(dict(inputs=torch.randn(6, 1, 8, 8), data_samples=samples), True)
    membranes, logits = set(), []
    for node in (module for module in model.modules() if isinstance(module, BaseNode)):
        node.charge = lambda x, v, charge=node.charge: membranes.add(v.dtype) or charge(x, v)
    model.head.register_forward_hook(lambda _, args, out: logits.append(out))
    with autocast(dtype=torch.bfloat16):
        loss = model(batch['inputs'], batch['data_samples'], 'loss')['loss_cls']
    scores = torch.stack([sample.gt_score for sample in batch['data_samples']])
    want = torch.nn.functional.cross_entropy(logits[0].double().mean(0), scores.double())
    assert logits[0].dtype == torch.bfloat16 and loss.dtype == torch.float32 and membranes == {torch.float32}
    torch.testing.assert_close(loss.double(), want, rtol=1e-6, atol=0)


def test_predictions_in_bfloat16_are_means_in_fp32():
    model, frames = small_network('SEWResNet')
    with torch.no_grad(), autocast():
        sample = model(frames, mode='predict')[0]
        logits = model(frames)
    assert logits.dtype == torch.bfloat16 and sample.step_logits.dtype == torch.float32
    torch.testing.assert_close(sample.pred_score, logits.float().mean(0).softmax(-1)[0], rtol=1e-6, atol=1e-7)


def test_validation_in_mixed_precision_takes_the_type_of_training(tmp_path, small_teacher):
    runner = small_run(tmp_path, small_teacher, 1, **AMP, **{'val_cfg.fp16': True})
    seen = set()
    runner.model.student.backbone.layer2.register_forward_hook(
        lambda module, args, out: None if module.training else seen.add(out.dtype))
    runner.train()
    assert seen == {torch.bfloat16} == {torch.get_autocast_dtype(get_device())}
