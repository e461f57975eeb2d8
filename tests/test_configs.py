"""Every config of the model zoo: it builds, its name follows the rule, and one of each kind trains."""
import argparse
import json
import re
from functools import lru_cache, partial

import mmpretrain
import pytest
import timm
import torch
import torchvision
import yaml
from generated_data import write_class_folders
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample

from bkdsnn.apis.cli import add_common_arguments, load_config
from bkdsnn.config.checks import check_config, check_training
from bkdsnn.config.files import read_config_file
from bkdsnn.config.methods import apply_method, methods, pairs
from bkdsnn.evaluation import measure_complexity
from bkdsnn.models import Distiller
from bkdsnn.models.distillers.requests import DEFAULT_TAPS, Request
from bkdsnn.models.neurons.nodes import StepNode
from bkdsnn.models.teachers import FrozenTeacher, frozen_teacher, sources
from bkdsnn.registry import DATASETS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from helpers import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
METHODS = ('bkd', 'bkd_only', 'wsld', 'kd')
# Folders of configs whose metafiles list those with published weights, and no others.
WITH_WEIGHTS = ('demo', 'fashion')
ZOO = sorted(path for folder in ('ann', 'snn', *METHODS) for path in (CONFIGS / folder).glob('*.py'))
# {student}-t{T}_{teacher}_{gpus}xb{batch}-{epochs}e_{data}; a teacher only where there is one, T only where it spikes.
SCHEDULE = r'\d+xb\d+-\d+e_(in1k|cifar10|cifar100|cifar10-224px|cifar100-224px|cifar10-dvs|dvs-gesture|n-caltech101)'
STUDENT = r'[a-z0-9-]+-t\d+'
RULES = {'ann': rf'[a-z0-9-]+_{SCHEDULE}', 'snn': rf'{STUDENT}_{SCHEDULE}',
         **dict.fromkeys(METHODS, rf'{STUDENT}_[a-z0-9-]+_{SCHEDULE}')}
# The few names that users type; they inherit from a long one.
ALIASES = r'(spikformer|spikingformer|sew_resnet)_(imagenet|cifar10|cifar100)|spikformer_custom'


def name_of(path):
    return path.relative_to(CONFIGS).with_suffix('').as_posix()


def with_random_weights(create, random, *args, **kwargs):
    if create.__module__.startswith('mmpretrain'):  # whose ResNet computes with numbers while it is built
        with torch.device('cpu'):
            network = create(*args, **{**kwargs, **random})
        return network.to(torch.get_default_device())
    return create(*args, **{**kwargs, **random})


@pytest.fixture
def no_downloads(monkeypatch):
    """Teachers are the configured networks with random weights; the last one built is kept, as building takes long."""
    for library, name, random in ((timm, 'create_model', dict(pretrained=False)),
                                  (mmpretrain, 'get_model', dict(pretrained=False)),
                                  (torchvision.models, 'get_model', dict(weights=None))):
        monkeypatch.setattr(library, name, partial(with_random_weights, getattr(library, name), random))
    monkeypatch.setattr(sources, 'load_weights', lambda *args: {})

    def build(model, checkpoint):
        key = repr((model, checkpoint))
        if key not in BUILT:
            BUILT.clear()
            BUILT[key] = sources.build_teacher(model, checkpoint)
        return BUILT[key]

    monkeypatch.setattr(frozen_teacher, 'build_teacher', build)


BUILT = {}


def test_every_config_passes_what_is_checked_before_training():
    """Those of other libraries' networks too, whose parts are looked up in their scope."""
    files = [path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    trained = [read_config_file(path) for path in files]
    for path, cfg in zip(files, trained):
        try:
            check_training(cfg)
        except ValueError as error:
            raise AssertionError(f'{path}: {error}') from error
    assert sum(cfg.model.get('type') == 'ImageClassifier' for cfg in trained) > 3


@pytest.mark.parametrize('path', [pytest.param(path, id=name_of(path)) for path in ZOO])
def test_config_builds_and_its_name_says_what_is_inside(path, no_downloads, monkeypatch):
    """Of the methods on one pair, which differ in their losses alone, one is built."""
    cfg = Config.fromfile(path)
    other_name = re.fullmatch(r"_base_ = \['\./(.+)'\]\n", path.read_text())
    if other_name:  # of a config that is built itself
        assert re.fullmatch(ALIASES, path.stem) and cfg.to_dict() == Config.fromfile(
            path.with_name(other_name.group(1))).to_dict()
        return
    whole = CONFIGS / 'bkd' / path.name
    if path.parent.name in ('bkd_only', 'wsld', 'kd') and whole.exists():
        assert_differs_in_losses_alone(cfg, read(whole))
        check_config(cfg)
        check_name(path, cfg)
        return
    check_config(cfg)
    check_name(path, cfg)
    if path.parent.name == 'snn' and is_student_of_a_pair(path, cfg):
        return
    # Over several processes, one network is validated on each sample once.
    assert {hook.type for hook in cfg.default_hooks.values()} > {'SyncBuffersHook', 'ResumeCheckHook'}
    assert not cfg.val_dataloader.sampler.round_up and not cfg.test_dataloader.sampler.round_up
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for step in loader.dataset.pipeline:
            TRANSFORMS.build(step)
    model_cfg = dict(cfg.model)
    model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
    if model_cfg.get('pretrained'):
        model_cfg['pretrained'] = False
    model = build_without_numbers(model_cfg, cfg.data_preprocessor, monkeypatch)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    teacher = getattr(model, 'teacher', None)
    if teacher is not None:  # the wrapper's own param_groups have one more, for logging
        optimised = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
        assert optimised == {id(p) for p in model.parameters()}
        assert not optimised & {id(p) for p in teacher.parameters()}
    schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    for scheduler in schedulers:
        PARAM_SCHEDULERS.build(dict(scheduler), default_args=dict(optimizer=wrapper, epoch_length=10))


def build_without_numbers(model, data_preprocessor, monkeypatch):
    """The network of a config, of tensors with shapes and without values; of a distiller, with its dry run."""
    real = MODELS.build({'type': 'ImageDataPreprocessor', **data_preprocessor})  # the teacher compares its numbers
    adapt_to = FrozenTeacher.adapt_to

    def adapt_to_real(teacher, _):
        with torch.device('cpu'):
            adapt_to(teacher, real)

    monkeypatch.setattr(FrozenTeacher, 'adapt_to', adapt_to_real)
    # Spikes have the shape of currents; PyTorch's tensors without values take long for each operation.
    monkeypatch.setattr(StepNode, 'run_steps', lambda node, x, v=None: ([torch.empty_like(x_t) for x_t in x], v))
    with torch.device('cpu' if model.get('_scope_') == 'mmpretrain' else 'meta'):
        return MODELS.build(model)


@lru_cache(1)
def read(path):
    return Config.fromfile(path)


def is_student_of_a_pair(path, cfg):
    """Whether a network is built and optimised in the test of a pair, with the same data."""
    same = ('optim_wrapper', 'param_scheduler', 'data_preprocessor', 'default_hooks')
    for pair in map(read, sorted((CONFIGS / 'bkd').glob(re.sub(r'_(\d+xb)', r'_*_\1', path.name)))):
        if pair.model.student == cfg.model and all(pair[key] == cfg[key] for key in same):
            return True
    return False


def assert_differs_in_losses_alone(cfg, other):
    def rest(cfg):
        model = {key: value for key, value in cfg.model.items() if key != 'losses'}
        return Config({**{key: value for key, value in cfg.items() if key not in ('losses', 'search')},
                       'model': model}).to_dict()

    assert rest(cfg) == rest(other)
    assert {name for name, loss in cfg.model.losses.items() if loss} < {'loss_bkd', 'loss_wsld', 'loss_kd'}


def check_name(path, cfg):
    """The rule, and that batch size, processes, epochs and time steps are those of the name."""
    folder = path.parent.name
    if re.fullmatch(ALIASES, path.stem):
        assert folder in ('snn', 'bkd')
        return
    assert re.fullmatch(RULES[folder], path.stem)
    batch, epochs = re.search(r'xb(\d+)-(\d+)e_', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch)
    assert cfg.train_cfg.max_epochs == int(epochs)
    # The learning rate belongs to the batch that the config trains with.
    processes = re.search(r'_(\d+)xb', path.stem).group(1)
    assert cfg.auto_scale_lr.base_batch_size == int(processes) * int(batch)
    if folder == 'ann':
        return
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        framing = {step.type: step for step in loader.dataset.pipeline}
        views = framing.get('TwoViews')
        frames = views.student if views else framing.get('EventsToFrames')
        steps = frames.time_steps if frames else cfg.model.get('student', cfg.model).backbone.T
        assert f'-t{steps}_' in path.stem
        if views:
            assert views.teacher.time_steps == 16


SMALL_ARCH = dict(
    SEWResNet=dict(layers=(1, 1, 1, 1), widths=(16, 16, 16, 16)), SEWDVSNet=dict(widths=(16, ) * 7),
    Spikingformer=dict(depth=1, channels=16, num_heads=2, patch_size=4),
    Spikformer=dict(depth=1, channels=16, num_heads=2, patch_size=4),
    QKFormer=dict(depths=(1, 1, 1), channels=16, num_heads=2, patch_size=4),
    MetaSpikeFormer=dict(channels=(8, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2),
    ESpikeFormer=dict(channels=(8, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2, kind='separable'),
    MaxFormer=dict(depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(None, 3), patch_size=4))


def shrink(network):
    """The same kind of network at the smallest honest size."""
    network.backbone.arch = SMALL_ARCH[network.backbone.type]
    network.head.in_channels = 16


ONE_OF_EACH = {
    'SEWResNet': 'sew-resnet18-t4{}_1xb64-310e_cifar10',
    'Spikformer': 'spikformer-4-384-t4{}_1xb64-310e_cifar10',
    'Spikingformer': 'spikingformer-4-384-t4{}_1xb64-310e_cifar100',
    'SEWDVSNet': 'sew-dvs-net-t4{}_1xb16-64e_dvs-gesture',
    'QKFormer': 'qkformer-10-384-t4{}_4xb48-310e_in1k',
    'MetaSpikeFormer': 'meta-spikeformer-8-384-t4{}_4xb48-310e_in1k',
    'Spikingformer on events': 'spikingformer-2-256-t4{}_1xb16-106e_cifar10-dvs',
    'ESpikeFormer': 'e-spikeformer-s-t1{}_8xb256-200e_in1k',
    'MaxFormer': 'maxformer-4-384-t4{}_1xb64-410e_cifar10',
}
TEACHERS = {'SEWResNet': '_resnet18', 'Spikformer': '_vit-small', 'Spikingformer': '_vit-small',
            'SEWDVSNet': '_sew-dvs-net-t16', 'QKFormer': '_vit-base', 'MetaSpikeFormer': '_vit-base',
            'Spikingformer on events': '_spikingformer-2-256-t16', 'ESpikeFormer': '_vit-base',
            'MaxFormer': '_vit-small'}
TINY_VIT = 'test_vit'  # timm's own, 160 pixels


def run(cfg, monkeypatch):
    """A tiny network of a config's kind, and its losses for one batch."""
    is_distilled = 'student' in cfg.model
    shrink(cfg.model.get('student', cfg.model))
    if is_distilled:
        shrink_teacher(cfg, monkeypatch)
    classes = cfg.data_preprocessor.num_classes
    events = 'EventDataPreprocessor' in cfg.data_preprocessor.get('type', '')
    if is_distilled:
        cfg.model.input_shape = dict(student=(4, 2, 32, 32), teacher=(16, 2, 32, 32)) if events else (3, 32, 32)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 4.0)  # so that all layers spike
    views = dict(student=torch.rand(4, 4, 2, 32, 32), teacher=torch.rand(4, 16, 2, 32, 32)) if events else \
        torch.randint(0, 256, (4, 3, 32, 32))
    if events and not is_distilled:
        views = views['student']
    samples = [DataSample().set_gt_label(i % classes) for i in range(4)]
    data = model.data_preprocessor(dict(inputs=views, data_samples=samples), training=True)
    return model, model(**data, mode='loss')


@pytest.mark.parametrize('method', ['snn', 'bkd'])
@pytest.mark.parametrize('kind', ONE_OF_EACH)
def test_one_config_of_each_model_trains_plain_and_distilled(kind, method, no_downloads, monkeypatch):
    """Forward, losses and backward with a tiny network of the kind; nothing trainable is without a gradient."""
    name = ONE_OF_EACH[kind].format(TEACHERS[kind] if method != 'snn' else '')
    cfg = Config.fromfile(CONFIGS / method / f'{name}.py')
    model, losses = run(cfg, monkeypatch)
    expected = {'snn': set(), 'bkd': {'loss_bkd', 'loss_wsld'}}[method]
    assert {key for key in losses if 'loss' in key} == {'loss_cls', *expected}
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    total.backward()
    assert all(p.grad is not None for p in model.parameters())
    if isinstance(model, Distiller):
        assert all(p.grad is None for p in model.teacher.parameters())


@pytest.mark.parametrize('method', methods())
def test_methods_that_come_along_name_taps_alone(method):
    """So they run on every pair."""
    for loss in Config.fromfile(methods()[method]).losses.values():
        assert not {'student', 'teacher'} & set(loss)


@pytest.mark.parametrize('config, method, words', [
    ('bkd/spikformer_imagenet.py', 'mixd', ["Did you mean 'mixed'?", 'path of a config']),
    ('demo/plain.py', 'kd', ['model.student', 'tools/list_experiments.py']),
    ('bkd/spikformer_imagenet.py', str(CONFIGS / 'demo' / 'plain.py'), ['has no losses = dict(...)'])])
def test_method_that_cannot_be_is_named(config, method, words):
    with pytest.raises(ValueError) as error:
        apply_method(Config.fromfile(CONFIGS / config), method)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_experiments_have_the_losses_that_they_had_before_pairs_and_methods():
    """``experiments.json``: log key, class, modules and numbers of each experiment of version 0.1."""
    before = json.loads((REPOSITORY / 'tests/data/experiments.json').read_text())
    for name, losses in before.items():
        model = Config.fromfile(CONFIGS / f'{name}.py').model
        taps = {side: {**default, **model.taps.get(side, {})} for side, default in DEFAULT_TAPS.items()}
        found = {}
        for key, loss in model.losses.items():
            if loss is not None:
                request = Request.of(key, loss, taps)
                found[key] = {**request.cfg, 'student': request.student, 'teacher': request.teacher}
        assert found == losses, name


def test_the_demos_rates_are_those_that_were_tuned_whatever_their_pairs_search_from():
    rates = {'bkd': 0.3, 'events_mixed': 0.3, 'events_plain': 1.0, 'kd': 0.3, 'mixed': 0.1, 'plain': 1.0, 'wsld': 0.1,
             'spikingformer_bkd_cnn': 3e-3, 'spikingformer_bkd_vit': 1e-2, 'spikingformer_plain': 3e-2}
    found = {name: Config.fromfile(CONFIGS / 'demo' / f'{name}.py').optim_wrapper.optimizer.lr for name in rates}
    assert found == rates


def shrink_teacher(cfg, monkeypatch):
    """A small network of the teacher's kind, with the same paths of modules."""
    classes, create = cfg.data_preprocessor.num_classes, timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, **kwargs: create(
        TINY_VIT, **{'num_classes': classes, **kwargs}))
    if re.search(r'-t16_.*\.py$', cfg.model.teacher.model):
        network = Config.fromfile(cfg.model.teacher.model)
        shrink(network.model)
        cfg.model.teacher.model = dict(network.model, data_preprocessor=network.data_preprocessor)


def test_every_entry_of_the_metafiles_is_a_config_and_every_config_has_one():
    listed = []
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    metafiles = sorted(CONFIGS.rglob('metafile.yml'))
    assert index['Import'] == [path.relative_to(REPOSITORY).as_posix() for path in metafiles]
    for path in metafiles:
        for entry in yaml.safe_load(path.read_text())['Models']:
            config = REPOSITORY / entry['Config']
            assert config.is_file() and config.parent == path.parent and config.stem == entry['Name']
            listed.append(config)
    assert len(set(listed)) == len(listed)
    listed = [path for path in listed if path.parent.name not in WITH_WEIGHTS]  # of which no others are listed
    assert sorted(listed) == [path for path in ZOO if not re.fullmatch(ALIASES, path.stem)]


@pytest.mark.parametrize('folder', ['ann', *WITH_WEIGHTS, 'snn', *METHODS])
def test_tables_of_the_readme_are_those_of_the_metafile(folder):
    """Parameters of a few are counted anew; ``model_zoo.py --check`` does so for all."""
    entries = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())['Models']
    text = (CONFIGS / folder / 'README.md').read_text()
    rows = [line for line in text.splitlines() if line.startswith('| [')]
    assert len(rows) == len(entries)
    for entry, row in zip(entries, rows):
        reported, trained = entry['Results'][0]['Metrics'].values()
        assert f'[{entry["Name"]}]({entry["Name"]}.py)' in row
        assert f'| {entry["Metadata"]["Parameters"] / 1e6:.2f} M |' in row
        if folder in WITH_WEIGHTS:
            assert row.endswith(f'| [{trained:.2f}]({entry["Weights"].removeprefix(f"configs/{folder}/")}) |')
            assert (REPOSITORY / entry['Weights']).is_file()
        else:
            assert trained is None and row.endswith('|  |')
        assert reported is None or f'[{reported:.2f}](https://arxiv.org/' in row
    for entry in entries[:1]:
        found = measure_complexity(Config.fromfile(REPOSITORY / entry['Config']), entry['Metadata']['Input Shape'])
        assert (found.parameters, found.macs) == (entry['Metadata']['Parameters'], entry['Metadata']['MACs'])


@pytest.mark.parametrize('name', ['snn/spikformer_custom', 'bkd/spikformer_custom'])
def test_own_images_need_their_folder_only(name, tmp_path, monkeypatch):
    write_class_folders(tmp_path, classes=('apple', 'banana', 'cherry'))
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    student = cfg.model.get('student', cfg.model)
    assert student.head.num_classes == cfg.data_preprocessor.num_classes == 3
    for loader, count in ((cfg.train_dataloader, 12), (cfg.val_dataloader, 6), (cfg.test_dataloader, 6)):
        dataset = DATASETS.build(loader.dataset)
        assert dataset.CLASSES == ('apple', 'banana', 'cherry') and len(dataset) == count


def test_each_method_on_each_pair_has_a_work_directory_of_its_own():
    """Pairs inherit from configs of students that have one."""
    parser = argparse.ArgumentParser()
    for name in ('config', '--method'):
        parser.add_argument(name)
    add_common_arguments(parser)
    found = [load_config(parser.parse_args([pair, '--method', method])).work_dir
             for pair in pairs() if 'digits' in pair or 'fashion' in pair for method in ('kd', 'mixed')]
    assert len(set(found)) == len(found) >= 20
    assert 'work_dirs/sew-resnet-t4_resnet_fashion-10pct_mixed' in found
