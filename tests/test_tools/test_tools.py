"""The command-line tools, as a user calls them."""
import json
import re
import runpy
import shutil
import sys

import pytest
import torch
from mmengine.config import Config

import bkdsnn
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.checkpoints.files import load_file
from bkdsnn.config.checks import check_config
from bkdsnn.config.files import read_config_file
from bkdsnn.runs.folders import default_work_dir
from helpers import DEMO, REPOSITORY, demo_config, run_tool

COMPONENTS = '''
import torch
from torch.nn import functional as F
from bkdsnn.models.losses import DistillLoss
from bkdsnn.models.layers import time_mean
from bkdsnn.models.neurons import BaseNode
from bkdsnn.registry import MODELS


@MODELS.register_module()
class NoisyIFNode(BaseNode):
    """IF neuron with noise on its input."""

    def __init__(self, *, noise, **kwargs):
        super().__init__(**kwargs)
        self.noise = noise

    def charge(self, x, v):
        return v + x + self.noise * torch.randn_like(x)


@MODELS.register_module()
class CosineLoss(DistillLoss):
    """One minus the cosine of the logits."""

    def forward(self, student, teacher, target=None):
        return self.loss_weight * (1 - F.cosine_similarity(time_mean(student), teacher)).mean()
'''
CONFIG = '''
_base_ = ['{base}']
custom_imports = dict(imports=['my_components'], allow_failed_imports=False)
neuron = dict(type='NoisyIFNode', noise=0.1, v_threshold=1.0, v_reset=0.0, detach_reset=True,
              surrogate=dict(type='Sigmoid', alpha=4.0))
model = dict(
    student=dict(backbone=dict(neuron=dict(_delete_=True, **neuron))),
    teacher=dict(model='{teacher}/small.py', checkpoint='{teacher}', expected_accuracy=None),
    losses=dict(_delete_=True, loss_cosine=dict(type='CosineLoss', student='head', teacher='head', loss_weight=2.0)))
train_cfg = dict(max_epochs=1)
work_dir = '{work_dir}'
'''


def test_components_outside_the_package_train_through_custom_imports(tmp_path, small_teacher):
    (tmp_path / 'my_components.py').write_text(COMPONENTS)
    config = tmp_path / 'mine.py'
    config.write_text(CONFIG.format(base=DEMO / 'mixed.py', teacher=small_teacher, work_dir=tmp_path / 'run'))
    done = run_tool(REPOSITORY / 'tools/train.py', config, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    (log, ) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    assert any('loss_cosine' in line for line in log.read_text().splitlines())
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


def test_untrained_teacher_is_one_line_that_says_what_to_run_first(tmp_path):
    done = run_tool(REPOSITORY / 'tools/train.py', DEMO / 'mixed.py', cwd=tmp_path)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('Error: ') and re.search(r'python tools/train\.py \S*configs/demo/teacher\.py', last)
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.rglob('*.pth'))


@pytest.fixture(scope='module')
def run(tmp_path_factory, small_teacher):
    """A short distillation run made by the tool."""
    folder = tmp_path_factory.mktemp('run')
    cfg = demo_config('mixed', folder / 'work', small_teacher, epochs=2)
    cfg.dump(str(folder / 'mixed.py'))
    # From another folder than the repository's.
    done = run_tool(REPOSITORY / 'tools/train.py', folder / 'mixed.py', cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    # What mmengine says of its own classes is no news to a user.
    assert not any(word in done.stdout + done.stderr for word in ('FileClient', 'HardDiskBackend', 'CUDA_HOME'))
    return folder


def test_tested_published_and_initialised_students_agree(run):
    out = run / 'metrics.json'
    done = run_tool(REPOSITORY / 'tools/test.py', run / 'mixed.py', run / 'work', '--work-dir', run / 'test', '--out',
                    out, '--out-item', 'metrics', cwd=run)
    assert done.returncode == 0, done.stderr[-2000:]
    tested = json.loads(out.read_text())['accuracy/top1']

    done = run_tool(REPOSITORY / 'tools/model_converters/publish_model.py', run / 'work', run / 'student.pth', cwd=run)
    (published, ) = run.glob('student-????????.pth')
    assert published.name in done.stdout
    content = torch.load(published, weights_only=True)  # safe without any allowance
    assert set(content) == {'state_dict', 'meta'}
    assert not any(key.startswith(('student.', 'losses.', 'teacher')) for key in content['state_dict'])

    model = bkdsnn.init_model(None, str(published))
    assert evaluate(model) == pytest.approx(tested)
    assert model.dataset_meta['classes'] == tuple('0123456789')
    done = run_tool(REPOSITORY / 'tools/test.py', run / 'mixed.py', published, '--work-dir', run / 'test2', '--out',
                    out, '--out-item', 'metrics', cwd=run)
    assert json.loads(out.read_text())['accuracy/top1'] == pytest.approx(tested)


def test_resuming_from_weights_alone_or_from_code_is_refused(run, tmp_path):

    class Evil:

        def __reduce__(self):
            return (open, (str(tmp_path / 'harmed'), 'w'))

    torch.save(dict(state_dict={}, meta={}), tmp_path / 'weights.pth')
    torch.save(dict(state_dict=Evil(), meta=dict(epoch=1)), tmp_path / 'evil.pth')
    for name, words in (('weights', 'holds no training state'), ('evil', 'cannot be read'), ('none', 'does not exist')):
        done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', '--resume', tmp_path / f'{name}.pth', cwd=run)
        assert done.returncode != 0 and words in done.stderr
    assert not (tmp_path / 'harmed').exists()


def test_config_inside_an_unpublished_checkpoint_is_not_run(tmp_path):
    code = f'open({str(tmp_path / "harmed")!r}, "w")'
    torch.save(dict(state_dict={}, meta=dict(cfg=code)), tmp_path / 'run.pth')
    with pytest.raises(ValueError, match='give the config as the first argument'):
        bkdsnn.init_model(None, str(tmp_path / 'run.pth'))
    assert not (tmp_path / 'harmed').exists()


def test_testing_leaves_the_runs_config_alone(run):
    dumped = run / 'work' / 'mixed.py'
    before = dumped.read_bytes()
    done = run_tool(REPOSITORY / 'tools/test.py', dumped, run / 'work', cwd=run)
    assert done.returncode == 0, done.stderr[-2000:]
    assert dumped.read_bytes() == before


def test_copied_run_resumes_from_its_own_checkpoint(run, tmp_path):
    shutil.copytree(run / 'work', tmp_path / 'copy')
    shutil.move(run / 'work', run / 'away')
    try:
        done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', '--work-dir', tmp_path / 'copy', '--resume',
                        '--cfg-options', 'train_cfg.max_epochs=3', cwd=run)
    finally:
        shutil.move(run / 'away', run / 'work')
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / 'copy' / 'epoch_3.pth').exists()


def test_resuming_before_there_is_anything_starts_from_the_weights_that_the_config_names(run, tmp_path):
    cfg = Config.fromfile(run / 'mixed.py')
    cfg.pop('resume', None)  # as of configs that inherit no runtime
    cfg.load_from = str(run / 'work' / 'epoch_2.pth')
    cfg.train_cfg.max_epochs = 1
    cfg.dump(str(tmp_path / 'tuned.py'))
    done = run_tool(REPOSITORY / 'tools/train.py', tmp_path / 'tuned.py', '--work-dir', tmp_path / 'tuned', '--resume',
                    cwd=run)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'to resume; training begins anew' in done.stdout + done.stderr and (tmp_path / 'tuned/epoch_1.pth').exists()


def test_misspelled_option_is_not_ignored(run):
    done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', '--cfg-options', 'optim_wraper.optimizer.lr=5',
                    cwd=run)
    assert done.returncode != 0 and "Did you mean 'optim_wrapper'?" in done.stderr


def test_options_of_train_reach_the_run(run, small_teacher):
    done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', '--work-dir', run / 'options', '--no-validate',
                    '--auto-scale-lr', '--cfg-options', 'train_cfg.max_epochs=1', 'randomness.seed=7',
                    'train_dataloader.batch_size=25', cwd=run)
    assert done.returncode == 0, done.stderr[-2000:]
    cfg = Config.fromfile(run / 'options' / 'mixed.py')
    assert cfg.val_cfg is None
    assert cfg.randomness.seed == 7 and cfg.auto_scale_lr.enable
    log = (run / 'options').glob('*/*.log')
    assert 'LR is set based on batch size of 50 and the current batch size is 25' in next(log).read_text()


def test_amp_trains_resumes_and_tests_on_a_cpu(run):
    arguments = ('--work-dir', run / 'amp', '--amp')
    for epochs, options in ((1, ()), (2, ('--resume', ))):
        done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', *arguments, *options, '--cfg-options',
                        f'train_cfg.max_epochs={epochs}', 'optim_wrapper.emulate=True', cwd=run)
        assert done.returncode == 0, done.stderr[-2000:]
    wrapper = Config.fromfile(run / 'amp' / 'mixed.py').optim_wrapper
    assert wrapper.type == 'bkdsnn.AmpOptimWrapper' and wrapper.dtype == 'bfloat16'  # asked for, so on any CPU
    assert load_file(str(run / 'amp' / 'epoch_2.pth'))['optimizer']['loss_scaler'] == {}
    accuracies = []
    for options in ((), ('--amp', ), ('--fuse-conv-bn', )):
        out = run / 'amp.json'
        done = run_tool(REPOSITORY / 'tools/test.py', run / 'mixed.py', run / 'amp', '--work-dir', run / 'test_amp',
                        '--out', out, '--out-item', 'metrics', *options, cwd=run)
        assert done.returncode == 0, done.stderr[-2000:]
        accuracies.append(json.loads(out.read_text())['accuracy/top1'])
    assert accuracies == pytest.approx([accuracies[0]] * 3, abs=3)


def test_amp_that_cannot_be_is_an_error_not_a_silent_fp32_run(run):
    for option, words in (('optim_wrapper.dtype=float16', "dtype='float16' needs a GPU"),
                          ('optim_wrapper.type=MyWrapper', "optim_wrapper.type='MyWrapper'; drop --amp")):
        done = run_tool(REPOSITORY / 'tools/train.py', run / 'mixed.py', '--amp', '--cfg-options', option, cwd=run)
        assert done.returncode != 0 and words in done.stderr


def test_checkpoint_of_another_student_is_refused(run):
    done = run_tool(REPOSITORY / 'tools/test.py', run / 'mixed.py', run / 'work', '--work-dir', run / 'test3',
                    '--cfg-options', 'model.student.backbone.arch.widths=4,8,24', 'model.student.head.in_channels=24',
                    cwd=run)
    assert done.returncode != 0
    assert '((16,) in the file, (24,) in the model)' in done.stderr


def test_tuning_searches_the_grid_and_keeps_what_is_done(run, tmp_path):
    base = run / 'plain.py'
    cfg = demo_config('plain', None, epochs=1)
    cfg.pop('work_dir')  # as in the model zoo
    cfg.dump(str(base))
    arguments = ('tools/tune.py', base, '--grid', 'optim_wrapper.optimizer.lr=0.3,1', '--seeds', '1')
    first = run_tool(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]
    assert 'best' in first.stdout and 'in the config' in first.stdout and '(2 of 2)' in first.stdout
    assert len(list((tmp_path / 'work_dirs' / 'plain' / 'tune').glob('lr*-seed1/epoch_1.pth'))) == 2
    assert '2 of 2 runs were finished before and are kept' in run_tool(*arguments, cwd=tmp_path).stdout
    assert 'must be key=number' in run_tool('tools/tune.py', base, '--grid', 'lr=a').stderr


@pytest.fixture
def main_of(monkeypatch):
    """Runs a tool in this process, and returns what it exits with."""
    def run(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(REPOSITORY / 'tools' / tool), run_name='__main__')
        return str(end.value.code)

    return run


def test_whole_numbers_are_tuned_and_what_no_config_has(tmp_path):
    tool = runpy.run_path(str(REPOSITORY / 'tools' / 'tune.py'))
    cfg = demo_config('plain', tmp_path)
    grid = ['model.backbone.T=2,4', 'optim_wrapper.optimizer.dampening=0,0.1', 'optim_wrapper.optimizer.lr=1']
    points = tool['grid_points'](grid, cfg)
    assert [type(value) for value in points[0].values()] == [int, float, float] and len(points) == 4
    cfg.param_scheduler.eta_min = 0  # as whole numbers are written where fractions are meant, too
    points = tool['grid_points'](['param_scheduler.eta_min=0,1e-5'], cfg)
    assert [repr(point['param_scheduler.eta_min']) for point in points] == ['0', '1e-05']


@pytest.mark.parametrize('tool, removed, arguments, words', [
    ('tune.py', 'val_cfg', ['--grid', 'optim_wrapper.optimizer.lr=0.1'], 'has no val_cfg'),
    ('train.py', 'auto_scale_lr', ['--auto-scale-lr'], 'does not say which batch size its rate is for'),
    ('test.py', 'test_dataloader', ['x.pth'], 'has no test_dataloader')])
def test_what_a_tool_needs_of_a_config_is_named(main_of, tmp_path, tool, removed, arguments, words):
    cfg = demo_config('plain', tmp_path / 'work')
    cfg[removed] = None
    cfg.dump(str(tmp_path / 'config.py'))
    assert words in main_of(tool, tmp_path / 'config.py', *arguments)


@pytest.mark.parametrize('tool, split, arguments', [
    ('browse_dataset.py', 'val', ['--phase', 'val']),
    ('vis_spikes.py', 'test', [*(DEMO / 'weights').glob('plain-*.pth')])])
def test_data_that_a_picture_needs_are_named(main_of, tmp_path, tool, split, arguments):
    cfg = read_config_file(DEMO / 'plain.py')
    for part in ('dataloader', 'cfg', 'evaluator'):
        cfg[f'{split}_{part}'] = None
    cfg.dump(str(tmp_path / 'config.py'))
    said = main_of(f'visualization/{tool}', tmp_path / 'config.py', *arguments)
    assert f'config.py has no {split}_dataloader.' in said


@pytest.mark.parametrize('arguments, folders', [
    (['--seeds', '2'], ['work_dirs/{}/seed0', 'work_dirs/{}/seed1']), (['--single'], ['work_dirs/{}'])])
def test_seeds_of_a_config_of_the_zoo_have_work_dirs(monkeypatch, arguments, folders):
    name = 'spikformer-4-384-t4_vit-small_1xb64-310e_cifar10'
    started = []
    monkeypatch.setattr('bkdsnn.apis.launch.run_all', lambda trainings, jobs, what: started.extend(trainings))
    monkeypatch.setattr(sys, 'argv', ['train_seeds.py', str(REPOSITORY / 'configs' / 'bkd' / f'{name}.py'), *arguments])
    runpy.run_path(str(REPOSITORY / 'tools' / 'train_seeds.py'), run_name='__main__')
    assert [training.work_dir for training in started] == [folder.format(f'{name}_bkd') for folder in folders]
    for training in started:
        cfg = training.merged_config()
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper' and cfg.work_dir == training.work_dir


def test_configs_that_come_along_are_trained_in_folders_of_their_own(tmp_path):
    folders = [default_work_dir(str(path)) for path in (REPOSITORY / 'configs').glob('[!_]*/*.py')]
    assert len(folders) > 100 and len(set(folders)) == len(folders)
    name = 'spikformer-4-384-t4_vit-small_1xb64-310e_cifar10'
    assert default_work_dir('configs/snn/spikformer-4-384-t4_1xb64-310e_cifar10.py').endswith('cifar10')
    for config, folder in ((name, name), (str(tmp_path / f'{name}.py'), name), ('mine.py', 'mine'),
                           (str(REPOSITORY / 'configs' / 'kd' / f'{name}.py'), f'{name}_kd')):
        assert default_work_dir(config) == f'work_dirs/{folder}'


def test_comparison_reads_all_seeds_and_pairs_them(tmp_path, small_teacher, small_comparison):
    for name in ('plain', 'mixed'):
        shutil.copytree(small_comparison / name, tmp_path / name)
    (tmp_path / 'teacher').symlink_to(small_teacher)
    done = run_tool('tools/analysis_tools/compare_runs.py', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert set(summary['methods']) == {'plain', 'mixed'}
    plain, mixed = (summary['methods'][name]['accuracy'] for name in ('plain', 'mixed'))
    assert len(plain) == len(mixed) == 2 and list(summary['teachers']) == ['teacher']
    gain = sum(m - p for m, p in zip(mixed, plain)) / 2
    assert f'{gain:+.2f} ±' in done.stdout
    model = bkdsnn.init_model(str(tmp_path / 'mixed/seed1/mixed.py'), str(tmp_path / 'mixed/seed1'))
    assert evaluate(model) == pytest.approx(mixed[1])


def test_comparison_refuses_an_unfinished_run(tmp_path):
    folder = tmp_path / 'plain' / 'seed0'
    folder.mkdir(parents=True)
    demo_config('plain', folder).dump(str(folder / 'plain.py'))
    done = run_tool('tools/analysis_tools/compare_runs.py', tmp_path)
    assert done.returncode != 0 and 'is not finished (epoch 0 of 2)' in done.stderr


@pytest.mark.parametrize('change, words', [
    ({'model.losses.loss_bkd.type': 'BKDLos'}, ['model.losses.loss_bkd.type', "'BKDLos'", "Did you mean 'BKDLoss'?"]),
    ({'model.losses.loss_bkd.blur': 0.1}, ['model.losses.loss_bkd.blur', 'BKDLoss', 'blur_ratio']),
    ({'model.student.backbone.nueron': 1}, ['model.student.backbone.nueron', "Did you mean 'neuron'?"]),
    ({'model.student.backbone.neuron.taus': 1}, ['model.student.backbone.neuron.taus', 'IFNode']),
    ({'model.student.backbone.neuron.surrogate.type': 'ATn'}, ['surrogate.type', "Did you mean 'ATan'?"]),
    ({'train_dataloader.dataset.splt': 'x'}, ['train_dataloader.dataset.splt', "Did you mean 'split'?"]),
    ({'train_dataloader.dataset.type': 'Digit'}, ['train_dataloader.dataset.type', "Did you mean 'Digits'?"]),
    ({'custom_hooks.0.type': 'EpochSeed'}, ['custom_hooks[0].type', 'EpochSeedHook']),
])
def test_misspelled_config_names_the_key_and_the_nearest_name(change, words):
    cfg = Config.fromfile(DEMO / 'mixed.py')
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError) as error:
        check_config(cfg)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize('config', sorted(DEMO.glob('*.py')), ids=lambda path: path.stem)
def test_demo_configs_are_short_and_right(config):
    check_config(Config.fromfile(config))
    assert len(config.read_text().splitlines()) <= 20
