"""Whole runs on small data: pinned losses, resuming, damage, and what checkpoints hold."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from bkdsnn import init_model
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.hooks import EpochSeedHook
from bkdsnn.registry import MODELS
from helpers import REPOSITORY, assert_same_checkpoint, demo_config, run_tool

# Enough that a run is still going when its first checkpoint is seen.
EPOCHS = 12


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def logged(work_dir, key='loss'):
    lines = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope='module')
def finished(tmp_path_factory, small_teacher):
    """A distillation run, never interrupted."""
    folder = tmp_path_factory.mktemp('finished')
    torch.set_num_threads(1)
    train(demo_config('mixed', folder, small_teacher, epochs=EPOCHS))
    return folder


def test_run_learns_and_logs_every_loss_term(finished):
    total, terms = logged(finished), [logged(finished, f'loss_{name}') for name in ('cls', 'bkd', 'wsld')]
    assert len(total) == 2 * EPOCHS and total[-1] < total[0]
    for i, value in enumerate(total):
        assert value == pytest.approx(sum(term[i] for term in terms), rel=1e-5)


def test_checkpoint_holds_student_and_losses_and_nothing_else(finished):
    checkpoint = load_file(str(finished / f'epoch_{EPOCHS}.pth'))
    roots = {'.'.join(key.split('.')[:2]) for key in checkpoint['state_dict']}
    assert roots == {'student.backbone', 'student.head', 'losses.loss_bkd'}
    assert not any(word in key for key in checkpoint['state_dict'] for word in ('teacher', 'neuron', '.v'))
    assert {'optimizer', 'param_schedulers', 'message_hub', 'meta'} <= set(checkpoint)


def test_mmengine_reads_checkpoints_as_the_package_does(finished, tmp_path):
    """It would read what it cannot read safely once more, with all that it holds."""
    from mmengine.runner.checkpoint import _load_checkpoint
    path = str(finished / f'epoch_{EPOCHS}.pth')
    assert_same_checkpoint(_load_checkpoint(path, map_location='cpu'), load_file(path))
    torch.save(dict(thing=demo_config), tmp_path / 'code.pth')
    for name, words in ((tmp_path / 'code.pth', 'it names helpers.demo_config'), ('torchvision://net', 'no such name'),
                        ('s3://net.pth', 'only files and'), ('petrel:s3://net.pth', 'only files and')):
        with pytest.raises(ValueError, match=words):
            _load_checkpoint(str(name))


def test_names_of_zoos_are_urls_that_are_read_as_files(monkeypatch):
    from mmengine.runner.checkpoint import _load_checkpoint

    from bkdsnn.checkpoints import mmengine_loading
    content = dict(state_dict={'backbone.x': 1, 'head.x': 2})
    monkeypatch.setattr(mmengine_loading, 'load_file', lambda url, _: content if url == 'https://a' else {})
    for zoo in mmengine_loading.ZOOS:
        monkeypatch.setitem(mmengine_loading.ZOOS, zoo, lambda: dict(net='https://a'))
        weights = dict(x=1) if zoo == 'mmcls' else content['state_dict']
        assert _load_checkpoint(f'{zoo}://net') == dict(state_dict=weights)


def start(cfg, folder):
    folder.mkdir(exist_ok=True)
    cfg.dump(str(folder / 'config_of_test.py'))
    # A shell may have started us with SIGINT ignored, which children inherit.
    return subprocess.Popen([sys.executable, str(REPOSITORY / 'tools/train.py'), str(folder / 'config_of_test.py')],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                            env=dict(os.environ, OMP_NUM_THREADS='1'),
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_resumed_run_equals_uninterrupted_run(tmp_path, small_teacher, finished):
    """Stopped by Ctrl-C after its first checkpoint, resumed, and equal to the last bit: weights, masks and order."""
    cfg = demo_config('mixed', tmp_path / 'run', small_teacher, epochs=EPOCHS)
    process = start(cfg, tmp_path / 'run')
    deadline = time.time() + 120
    while not (tmp_path / 'run' / 'last_checkpoint').exists() and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert list((tmp_path / 'run').glob('epoch_*.pth')) and not (tmp_path / 'run' / f'epoch_{EPOCHS}.pth').exists()
    done = run_tool('tools/train.py', tmp_path / 'run' / 'config_of_test.py', '--resume')
    assert done.returncode == 0, done.stderr[-2000:]
    a, b = (load_file(str(folder / f'epoch_{EPOCHS}.pth')) for folder in (finished, tmp_path / 'run'))
    assert_same_checkpoint(a, b)


def test_run_killed_while_saving_keeps_its_last_checkpoint(tmp_path, monkeypatch):
    from bkdsnn.engine import AtomicLocalBackend
    backend = AtomicLocalBackend()
    backend.put(b'good', tmp_path / 'epoch_1.pth')
    monkeypatch.setattr('os.fsync', lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        backend.put(b'half', tmp_path / 'epoch_1.pth')
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth']
    assert (tmp_path / 'epoch_1.pth').read_bytes() == b'good'


def test_student_of_a_distillation_checkpoint_loads_alone(finished):
    model = init_model(str(finished / 'mixed.py'), str(finished))
    assert type(model).__name__ == 'SpikingClassifier' and not model.training
    saved = load_file(str(finished / f'epoch_{EPOCHS}.pth'))['state_dict']
    for key, value in model.state_dict().items():
        assert torch.equal(value, saved[f'student.{key}'])


def test_nan_loss_stops_with_step_terms_and_samples_and_keeps_the_last_checkpoint(tmp_path, small_teacher):
    cfg = demo_config('mixed', tmp_path, small_teacher, epochs=3)
    runner = Runner.from_cfg(cfg)
    bkd = runner.model.losses['loss_bkd']

    def poison(module, args, output):
        return output * float('nan') if runner.epoch == 1 else output

    bkd.register_forward_hook(poison)
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    message = str(error.value)
    assert 'epoch 2, step 3' in message and 'loss_bkd=nan' in message and 'loss_cls=' in message
    samples = eval(message.split('sample ids ')[1].split('. Checkpoints')[0])  # a list of ints that we printed
    assert len(samples) == 50 and all(0 <= i < 100 for i in samples)
    kept = load_file(str(tmp_path / 'epoch_1.pth'))['state_dict']
    assert all(torch.isfinite(v).all() for v in kept.values())
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_teacher_below_its_expected_accuracy_stops_the_run(tmp_path, small_teacher):
    cfg = demo_config('mixed', tmp_path, small_teacher, epochs=1)
    cfg.model.teacher.expected_accuracy = 99.9
    with pytest.raises(ValueError, match=r'reaches [\d.]+ % .* model\.teacher\.expected_accuracy is 99\.9 %'):
        Runner.from_cfg(cfg).train()
    assert not list(tmp_path.glob('*.pth'))


def test_teacher_accuracy_is_that_of_its_own_run(tmp_path, small_teacher):
    from bkdsnn.engine.hooks import TeacherCheckHook
    runner = Runner.from_cfg(demo_config('mixed', tmp_path, small_teacher, epochs=1))
    measured = TeacherCheckHook.measure(runner.model, Runner.build_dataloader(runner.cfg.val_dataloader))
    assert measured == pytest.approx(logged(small_teacher, 'accuracy/top1')[-1], abs=1e-4)


def test_every_epoch_has_its_own_random_numbers_also_in_workers(tmp_path, small_teacher):
    cfg = demo_config('plain', tmp_path, epochs=3, **{'train_dataloader.num_workers': 2})
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='mmpretrain.RandomCrop', crop_size=8, padding=1), *cfg.train_dataloader.dataset.pipeline]
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0].sum().item())
                                                    if module.training else None)
    runner.train()
    assert len(set(seen)) == len(seen)
    again = Runner.from_cfg(cfg)
    repeated = []
    again.model.backbone.register_forward_pre_hook(lambda module, args: repeated.append(args[0].sum().item())
                                                   if module.training else None)
    again.train()
    assert repeated == seen


def test_persistent_workers_are_refused_with_the_reason(tmp_path):
    cfg = demo_config('plain', tmp_path, epochs=1, **{
        'train_dataloader.num_workers': 1, 'train_dataloader.persistent_workers': True})
    with pytest.raises(ValueError, match='train_dataloader.persistent_workers'):
        Runner.from_cfg(cfg).train()


def test_processes_draw_different_augmentations_and_share_the_masks_generator(tmp_path, monkeypatch):
    cfg = demo_config('plain', tmp_path, epochs=1)
    drawn = {}
    for rank in (0, 1):
        monkeypatch.setattr('bkdsnn.engine.hooks.epoch_seed_hook.get_rank', lambda: rank)  # noqa: B023
        runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(cfg.train_cfg)
        hook = EpochSeedHook()
        hook.before_train(runner)
        hook.before_train_epoch(runner)
        drawn[rank] = np.random.rand(), random.random(), torch.rand(1).item()
        torch.manual_seed(5)
        runner.train_dataloader.worker_init_fn(0)
        drawn[rank] += (np.random.rand(), torch.rand(1).item())
    assert drawn[0][2] == drawn[1][2]
    assert all(drawn[0][i] != drawn[1][i] for i in (0, 1, 3, 4))


def test_workers_do_what_the_config_says_after_they_are_seeded(tmp_path):
    called = []
    cfg = demo_config('plain', tmp_path, epochs=1, **{'train_dataloader.worker_init_fn': dict(
        type=lambda worker_id, factor: called.append((factor * worker_id, np.random.rand())), factor=10)})
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(cfg.train_cfg)
    EpochSeedHook().before_train(runner)
    for _ in range(2):
        torch.manual_seed(5)
        runner.train_dataloader.worker_init_fn(3)
    assert called[0] == called[1] and called[0][0] == 30


def test_iteration_based_training_is_refused_with_the_reason(tmp_path):
    cfg = demo_config('plain', tmp_path)
    cfg.train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
    with pytest.raises(ValueError, match='train_cfg.by_epoch is False'):
        Runner.from_cfg(cfg).train()


def test_averaged_weights_and_accumulated_gradients_train(tmp_path, small_teacher):
    """EMA copies the model; the copy shares the teacher, and its weights are the published ones."""
    cfg = demo_config('mixed', tmp_path, small_teacher, epochs=2, **{'optim_wrapper.accumulative_counts': 2})
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    runner = Runner.from_cfg(cfg)
    runner.train()
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
    assert ema.teacher is runner.model.teacher
    student = init_model(str(tmp_path / 'mixed.py'), str(tmp_path))
    for key, value in student.state_dict().items():
        torch.testing.assert_close(value, ema.student.state_dict()[key], msg=key)


def test_teacher_of_other_classes_is_not_checked_but_may_be_imitated(tmp_path, small_teacher):
    """Features of a network that knows other classes can be distilled; an expected accuracy cannot be checked."""
    other = Config.fromfile(small_teacher / 'small.py')
    other.model.head.num_classes = 3
    other.dump(str(tmp_path / 'other.py'))
    torch.save(MODELS.build(other.model).state_dict(), tmp_path / 'other.pth')
    for expected in (None, 90.0):
        cfg = demo_config('bkd', tmp_path / str(expected), epochs=1)
        cfg.model.teacher = dict(type='FrozenTeacher', model=str(tmp_path / 'other.py'),
                                 checkpoint=str(tmp_path / 'other.pth'), expected_accuracy=expected)
        runner = Runner.from_cfg(cfg)
        if expected is None:
            runner.train()
            continue
        with pytest.raises(ValueError, match='expected_accuracy=90.0 cannot be checked.*classes'):
            runner.train()
