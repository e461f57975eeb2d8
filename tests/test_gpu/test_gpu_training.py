"""Steps of training: mixed precision, every method, no reads by the host; and an epoch with all that watches one."""
import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from bkdsnn.config.methods import find_pair, methods
from bkdsnn.evaluation.cka import linear_cka
from bkdsnn.evaluation.gradients import gradient_shares
from bkdsnn.models import Distiller, FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import demo_config, digits, digits_batch, small_distiller
from on_gpu import no_host_reads

LOSSES = ('loss', 'loss_cls', 'loss_bkd', 'loss_wsld')


def wrapper_of(model, lr=0.2, **options):
    return build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=lr, momentum=0.9), **options))


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_two_hundred_steps_in_mixed_precision_learn(dtype):
    """Gradients are finite in each step that is taken, all losses fall, and the student answers far above chance."""
    model = small_distiller().cuda()
    wrapper = wrapper_of(model, type='AmpOptimWrapper', dtype=dtype, clip_grad=dict(max_norm=5.0))
    curve, dtypes, finite = [], set(), []
    handle = model.student.backbone.layer2.register_forward_hook(lambda _, args, out: dtypes.add(out.dtype))
    wrapper.optimizer.register_step_pre_hook(lambda optimizer, *_: finite.append(all(
        parameter.grad.isfinite().all().item() for parameter in optimizer.param_groups[0]['params'])))
    for step in range(200):
        log = model.train_step(digits_batch(step), wrapper)
        curve.append([log[key].item() for key in LOSSES])
    handle.remove()
    assert dtypes == {getattr(torch, dtype)}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert len(finite) >= 190 and all(finite), f'{len(finite)} steps, {finite.count(False)} with gradients not finite'
    assert np.isfinite(curve).all()
    first, last = np.reshape(curve, (10, 20, len(LOSSES))).mean(1)[[0, -1]]
    assert (last < 0.9 * first).all(), f'{LOSSES}: {first} in the first 20 steps, {last} in the last'
    images, labels = digits()
    with torch.no_grad():
        answers = model.eval()(images.cuda()).mean(0).argmax(-1).cpu()
    accuracy = (answers == labels).double().mean().item()
    print(f'{dtype}: {accuracy:.3f} of the digits are right, losses {first} to {last}')
    assert accuracy > 0.5, f'{accuracy:.3f} of the digits are right, 0.1 by chance; losses {first} to {last}'


def take_step(model, wrapper, data):
    """Forward, backward and optimizer, of a batch that is on the device."""
    with wrapper.optim_context(model):
        losses = model(**data, mode='loss')
        total, _ = model.parse_losses(losses)
    wrapper.update_params(total)
    return losses


def steps_without_reads(model, wrapper, batch):
    """The third of three steps with one batch, in which the host must not wait; and the losses of all."""
    data = model.data_preprocessor(batch, True)
    logged = [take_step(model, wrapper, data) for _ in range(2)]
    with no_host_reads():
        logged.append(take_step(model, wrapper, data))
    return [{name: value.item() for name, value in losses.items()} for losses in logged]


def test_reads_are_noticed():
    with pytest.raises(RuntimeError), no_host_reads():
        torch.ones(2, device='cuda').sum().item()


@pytest.mark.parametrize('wrapper', ['fp32', 'bfloat16', 'compressed'])
def test_the_host_reads_nothing_in_a_distilled_step(wrapper):
    """Clipping is left out: mmengine reads the gradient's norm for its log; so are float16's scaler and the log."""
    model = small_distiller().cuda()
    if wrapper == 'compressed':
        for name, module in model.student.named_modules():
            if hasattr(module, 'compress_spikes'):
                module.compress_spikes(f'student.{name}')
    amp = dict(type='AmpOptimWrapper', dtype='bfloat16') if wrapper == 'bfloat16' else dict(type='OptimWrapper')
    before = [parameter.clone() for parameter in model.student.parameters()]
    logged = steps_without_reads(model, wrapper_of(model, **amp), digits_batch(0))
    assert set(logged[0]) == {*LOSSES} - {'loss'} and np.isfinite([list(losses.values()) for losses in logged]).all()
    moved = [not torch.equal(old, new) for old, new in zip(before, model.student.parameters())]
    assert all(moved), f'{moved.count(False)} of {len(moved)} parameters of the student did not move'


@pytest.fixture(scope='module')
def pair():
    """Config of student and teacher on digits, and the teacher with random weights."""
    cfg = Config.fromfile(find_pair('sew-resnet-t2_resnet_digits'))
    torch.manual_seed(0)
    return cfg, FrozenTeacher(MODELS.build(Config.fromfile(cfg.model.teacher.model).model))


@pytest.mark.parametrize('method', methods())
def test_every_method_takes_steps_without_reads(method, pair):
    """All of a method's tensors are on the device, too: a copy from the host would wait."""
    cfg, teacher = pair
    student = copy.deepcopy(cfg.model.student)
    if method in ('hard_kd', 'soft_token'):  # they train a classifier of their own
        student.head.update(type='SpikingDistillationHead', neuron=cfg.neuron)
    torch.manual_seed(0)
    model = Distiller(student, teacher, Config.fromfile(methods()[method]).losses, (1, 8, 8), taps=cfg.model.taps,
                      data_preprocessor=cfg.data_preprocessor)
    model = model.cuda().train()
    batch = digits_batch(0)
    batch['inputs'] = (batch['inputs'] + 1) * 127.5
    wrapper = wrapper_of(model, lr=0.001, type='OptimWrapper')
    logged = steps_without_reads(model, wrapper, batch)
    assert np.isfinite([list(losses.values()) for losses in logged]).all(), logged
    gradients = {name: wrapper.optimizer.state[parameter].get('momentum_buffer')
                 for name, parameter in model.named_parameters()}
    silent = [name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()]
    assert not silent, f'without a finite gradient: {silent}'


def test_what_a_report_measures():
    shares = gradient_shares(small_distiller().cuda(), [digits_batch(0), digits_batch(1)])
    assert set(shares) == {*LOSSES} - {'loss'}
    assert sum(share.share for share in shares.values()) == pytest.approx(1, abs=1e-5), shares
    x, y = torch.randn(2, 20, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()
    assert linear_cka(x.cuda(), y.cuda()) == pytest.approx(linear_cka(x, y), rel=1e-9)


def test_an_epoch_with_all_that_looks_at_the_network(tmp_path, small_teacher):
    """Energy, answers over time, pictures and averaged weights; all of these bring numbers to the host."""
    cfg = demo_config('mixed', tmp_path, small_teacher, epochs=2, **{
        'train_cfg.val_interval': 1, 'val_dataloader.dataset.indices': 50,
        'default_hooks.synops': dict(type='SynOpsHook'),
        'optim_wrapper.type': 'AmpOptimWrapper'})
    cfg.val_evaluator = [dict(type='mmpretrain.Accuracy'), dict(type='AccuracyOverTime')]
    cfg.custom_hooks += [dict(type='EMAHook', momentum=0.5), dict(type='SpikeVisualizationHook', samples=(0, ))]
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    logged = {key: scalars[key].current() for key in scalars if key.startswith('val/')}
    assert next(runner.model.parameters()).is_cuda
    for key in ('accuracy/top1', 'accuracy/step1', 'accuracy/agreement1', 'firing_rate/mean', 'synops_M', 'energy_uJ'):
        assert np.isfinite(logged[f'val/{key}']), logged
    # One of the 50 samples may have two classes within rounding.
    assert logged['val/accuracy/step2'] == pytest.approx(logged['val/accuracy/top1'], abs=2.0), logged
    assert logged['val/energy_uJ'] > 0, logged
    assert list(tmp_path.glob('epoch_2.pth')) and list(tmp_path.rglob('*.png'))
