"""What runs load and save: strictly, or with a line about what was left out; never numbers that are none."""
import copy
import shutil
from functools import cache

import pytest
import torch
from mmengine.runner import Runner
from troubleshooting import assert_given, quoted

from bkdsnn import init_model
from bkdsnn.apis.cli import build_runner
from bkdsnn.checkpoints.classes import check_classes
from bkdsnn.checkpoints.files import check_resumable, load_file, load_weights
from bkdsnn.engine.hooks import checkpoint_check_hook
from bkdsnn.registry import MODELS
from helpers import demo_config, logged_by, tiny_cnn

SMALL = dict(arch=dict(layers=(1, ), widths=(4, )))
FEW = {'train_dataloader.dataset.labels_per_class': 5, 'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None}


def config(name, folder, teacher=None, **options):
    """A demo config with one block and one step in an epoch."""
    cfg = demo_config(name, folder, epochs=2)
    if teacher is not None:
        cfg.model.teacher = dict(type='FrozenTeacher', model='helpers:tiny_cnn', checkpoint=str(teacher))
        cfg.model.taps.teacher = dict(feature='stage1', logits='fc')
    student = cfg.model.get('student', cfg.model)
    student.backbone.arch, student.head.in_channels = SMALL['arch'], 4
    if 'taps' in cfg.model:
        cfg.model.taps.student = dict(feature='backbone.layer1', logits='head')
    cfg.merge_from_dict({**FEW, **options})
    return cfg


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Folders of two epochs of a plain run, and of a distillation with a moving average."""
    folder = tmp_path_factory.mktemp('runs')
    torch.manual_seed(0)
    torch.save(tiny_cnn().state_dict(), folder / 'teacher.pth')
    build_runner(config('plain', folder / 'plain')).train()
    cfg = config('bkd', folder / 'bkd', folder / 'teacher.pth')
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    build_runner(cfg).train()
    return folder


@pytest.fixture
def said(monkeypatch):
    """Lines of the hook that loads."""
    return logged_by(monkeypatch, checkpoint_check_hook)


def edit(path, target, change):
    """A changed copy of a checkpoint."""
    content = load_file(str(path))
    change(content)
    torch.save(content, target)
    return str(target)


def started(cfg, checkpoint, resume=False):
    """A runner that has loaded a checkpoint, but has not trained."""
    cfg.load_from, cfg.resume = str(checkpoint), resume
    runner = build_runner(cfg)
    runner.call_hook('before_run')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.load_or_resume()
    return runner


def renamed(content):
    weights = content['state_dict']
    weights['head.fk.weight'] = weights.pop('head.fc.weight')


def other_head(content):
    for key in ('head.fc.weight', 'head.fc.bias'):
        content['state_dict'][key] = content['state_dict'][key][:7]


def put(*path, to):
    """A change that puts a value, or what a function makes of the one there, at a place in a checkpoint."""
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to(content[path[-1]]) if callable(to) else to
    return change


CONV = 'backbone.stem.conv.weight'
# How the checkpoint of a plain run is changed, and what the refusal has to say.
RESUMED = {
    'renamed': (renamed, ['missing keys: head.fc.weight', 'unexpected keys: head.fk.weight']),
    'missing': (lambda c: c['state_dict'].pop('head.fc.bias'), ['missing keys: head.fc.bias']),
    'extra': (put('state_dict', 'x', to=torch.zeros(1)), ['unexpected keys: x']),
    'another head': (other_head, ['other shapes: head.fc.bias ((7,) in the file, (10,) in the model)']),
    'text': (put('state_dict', 'head.fc.bias', to='weights'), ['head.fc.bias (text in the file)']),
    'array': (put('state_dict', 'head.fc.bias', to=lambda x: x.numpy()), ['head.fc.bias (a ndarray in the file)']),
    'whole numbers': (put('state_dict', 'head.fc.bias', to=lambda x: x.long()),
                      ['head.fc.bias (int64 in the file, float32 in the model)']),
    'NaN': (put('state_dict', 'head.fc.bias', to=lambda x: x / 0),
            ['not finite: head.fc.bias', 'an earlier checkpoint']),
    'garbage scheduler': (put('param_schedulers', 0, to=dict(a=1)),
                          ['param_schedulers[0] is not the state of a Cosine']),
    'scheduler of text': (put('param_schedulers', 0, 'base_values', to='x'), ["param_schedulers[0].base_values='x'"]),
    'no scheduler': (lambda c: c.pop('param_schedulers'), ['it has 0 param_schedulers, this run 1']),
    'rate of text': (put('optimizer', 'param_groups', 0, 'lr', to='fast'), ["optimizer.param_groups[0].lr='fast'"]),
    'no momentum': (lambda c: c['optimizer']['param_groups'][0].pop('momentum'),
                    ['optimizer.param_groups[0] lacks momentum']),
    'NaN momentum': (put('optimizer', 'state', 0, 'momentum_buffer', to=lambda x: x * torch.nan),
                     ['optimizer.state.0.momentum_buffer not finite']),
    'other momentum': (put('optimizer', 'state', 0, 'momentum_buffer', to=torch.zeros(3)), ['has shape (3,)']),
    'another optimizer': (put('optimizer', 'param_groups', 0, 'betas', to=(0.9, 0.99)), ['has betas']),
    'fewer parameters': (put('optimizer', 'param_groups', 0, 'params', to=lambda x: x[1:]),
                         ['parameters, this run 1 of']),
    'epoch of text': (put('meta', 'epoch', to='2'), ["meta.epoch='2' is no number of epochs"]),
    'message hub of text': (put('message_hub', 'log_scalars', to='x'), ['message_hub has no dicts']),
    'classes': (put('meta', 'dataset_meta', 'classes', to=lambda x: x[::-1]),
                ["the same classes in another order: class 0 is '9' there and '0' here", 'metainfo.classes']),
    'average': (put('ema_state_dict', to={}), ['has averaged weights', 'no EMAHook']),
}


@cache
def refusal(name, runs):
    """What resuming from a changed checkpoint says."""
    folder = runs / name
    folder.mkdir()
    path = edit(runs / 'plain' / 'epoch_2.pth', folder / 'epoch_2.pth', RESUMED[name][0])
    with pytest.raises(ValueError) as error:
        check_resumable(path)
        started(config('plain', folder), path, resume=True)
    return str(error.value)


@pytest.mark.parametrize('name', RESUMED)
def test_a_run_does_not_go_on_from_what_does_not_fit(name, runs):
    message = refusal(name, runs)
    assert str(runs / name / 'epoch_2.pth') in message and all(word in message for word in RESUMED[name][1]), message


def test_a_run_goes_on_under_the_names_of_wrappers(runs, tmp_path):
    def wrap(content):
        content['state_dict'] = {f'module._orig_mod.{key}': value for key, value in content['state_dict'].items()}
    path = edit(runs / 'plain' / 'epoch_2.pth', tmp_path / 'epoch_2.pth', wrap)
    runner = started(config('plain', tmp_path), path, resume=True)
    expected = load_file(str(runs / 'plain' / 'epoch_2.pth'))['state_dict']
    assert all(torch.equal(value, expected[key]) for key, value in runner.model.state_dict().items())


def test_parameters_without_momentum_are_said(runs, tmp_path, said):
    path = edit(runs / 'plain' / 'epoch_2.pth', tmp_path / 'epoch_2.pth', lambda c: c['optimizer']['state'].pop(0))
    started(config('plain', tmp_path), path, resume=True)
    assert [line.startswith('resume: ') and CONV in line for line in said] == [True]


def test_switches_of_another_pytorch_are_those_of_the_run(runs, tmp_path):
    def change(content):
        group = content['optimizer']['param_groups'][0]
        del group['nesterov']  # PyTorch would take its default
        group['newer'] = None
    path = edit(runs / 'plain' / 'epoch_2.pth', tmp_path / 'epoch_2.pth', change)
    cfg = config('plain', tmp_path, **{'optim_wrapper.optimizer.nesterov': True})
    group = started(cfg, path, resume=True).optim_wrapper.optimizer.param_groups[0]
    assert group['nesterov'] is True and 'newer' not in group


def test_moving_averages_go_on_and_are_held_to_the_model(runs, tmp_path):
    def resumed(path):
        cfg = config('bkd', tmp_path, runs / 'teacher.pth')
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
        return started(cfg, path, resume=True)
    source = runs / 'bkd' / 'epoch_2.pth'
    runner, saved = resumed(source), load_file(str(source))
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, saved['ema_state_dict'][f'module.{key}'])
        assert torch.equal(ema.state_dict()[key], saved['state_dict'][key])
    name = 'module.student.head.fc.bias'
    for change, words in ((lambda c: c['ema_state_dict'].pop(name), 'average in .* missing keys: student.head.fc.bias'),
                          (put('ema_state_dict', name, to=torch.full((10, ), torch.nan)), 'average in .* not finite'),
                          (put('ema_state_dict', to='x'), 'holds no averaged weights')):
        with pytest.raises(ValueError, match=words):
            resumed(edit(source, tmp_path / 'epoch_2.pth', change))


# ---- load_from ----

def test_a_student_starts_in_a_distiller_and_alone(runs, tmp_path, said):
    plain, distilled = (runs / name / 'epoch_2.pth' for name in ('plain', 'bkd'))
    weights = load_file(str(plain))['state_dict']
    runner = started(config('bkd', tmp_path / 'a', runs / 'teacher.pth'), plain)
    assert all(torch.equal(value, weights[key]) for key, value in runner.model.student.state_dict().items())
    assert said == [f'load_from: of checkpoint {str(plain)!r}, these start anew: losses.loss_bkd.']
    said.clear()
    weights = load_file(str(distilled))['state_dict']
    runner = started(config('plain', tmp_path / 'b'), distilled)
    assert all(torch.equal(value, weights[f'student.{key}']) for key, value in runner.model.state_dict().items())
    assert said == [f'load_from: of checkpoint {str(distilled)!r}, these are left out: losses.loss_bkd.']
    said.clear()
    runner = started(config('bkd', tmp_path / 'c', runs / 'teacher.pth'), distilled)
    assert all(torch.equal(value, weights[key]) for key, value in runner.model.state_dict().items()) and not said


def test_losses_that_differ_start_anew_and_are_said(runs, tmp_path, said):
    def change(content):
        weights = content['state_dict']
        self = [key for key in weights if key.startswith('losses')]
        weights['losses.other.weight'] = weights[self[0]]
        weights[self[0]] = weights[self[0]].reshape(-1)
    path = edit(runs / 'bkd' / 'epoch_2.pth', tmp_path / 'x.pth', change)
    started(config('bkd', tmp_path, runs / 'teacher.pth'), path)
    assert said == [f'load_from: of checkpoint {path!r}, these start anew: losses.loss_bkd; these are left out: '
                    'losses.loss_bkd, losses.other.']


def test_a_teachers_file_is_no_student(runs, tmp_path):
    for name, teacher in (('plain', None), ('bkd', runs / 'teacher.pth')):
        with pytest.raises(ValueError, match=r"teacher.pth' does not fit the SpikingClassifier: missing keys: .*"
                                             r'unexpected keys: .*model.teacher.checkpoint.*checkpoint_check.new'):
            started(config(name, tmp_path, teacher), runs / 'teacher.pth')


def test_another_head_starts_anew_where_it_is_asked_for(runs, tmp_path, said):
    path = edit(runs / 'plain' / 'epoch_2.pth', tmp_path / 'x.pth', other_head)
    with pytest.raises(ValueError, match=r"other shapes: head.*default_hooks.checkpoint_check.new=\['head'\]"):
        started(config('plain', tmp_path), path)
    cfg = config('plain', tmp_path, **{'default_hooks.checkpoint_check.new': ['head']})
    runner, weights = started(cfg, path), load_file(path)['state_dict']
    assert said == [f'load_from: of checkpoint {path!r}, these start anew: head.fc.bias, head.fc.weight.']
    for key, value in runner.model.backbone.state_dict().items():
        assert torch.equal(value, weights[f'backbone.{key}'])
    cfg = config('plain', tmp_path, **{'default_hooks.checkpoint_check.new': 'haed'})
    with pytest.raises(ValueError, match="check.new: the network has no weights in 'haed'. Did you mean 'head'"):
        started(cfg, path)


def test_classes_in_another_order_are_said_where_a_run_starts(runs, tmp_path, said):
    path = edit(runs / 'plain' / 'epoch_2.pth', tmp_path / 'x.pth', RESUMED['classes'][0])
    started(config('plain', tmp_path), path)
    assert 'have the same classes in another order' in said[0]


@pytest.mark.parametrize('prefix', [None, 'student.backbone.'])
def test_pretrained_parts_say_what_is_left_out(prefix, runs, monkeypatch):
    from bkdsnn.checkpoints import mmengine_loading
    lines = logged_by(monkeypatch, mmengine_loading)
    source = str(runs / ('bkd' if prefix else 'plain') / 'epoch_2.pth')
    cfg = config('plain', 'x').model
    init = dict(type='Pretrained', checkpoint=source, prefix=prefix)
    owner = cfg.backbone if prefix else cfg
    owner.init_cfg = init
    if not prefix:
        cfg.head.num_classes = 7
    model = MODELS.build(cfg)
    model.init_weights()
    key = 'student.backbone.' if prefix else 'backbone.'
    saved = load_file(source)['state_dict']
    assert all(torch.equal(value, saved[key + name]) for name, value in model.backbone.state_dict().items())
    expected = [] if prefix else ['these start anew: head.fc.bias, head.fc.weight', 'these are left out: head.fc.bias']
    assert len(lines) == 1 and all(words in lines[0] for words in expected)
    init['prefix'] = 'encoder'
    with pytest.raises(ValueError, match="init_cfg: checkpoint .* prefix 'encoder', has no weights that fit"):
        MODELS.build({**cfg, 'init_cfg': init}).init_weights()


# ---- saving ----

def diverged(cfg):
    """What a run says whose weights are no numbers after the first step of its second epoch."""
    runner = build_runner(cfg)

    def diverge(module, args, output):
        if runner.epoch == 1 and module.training:
            next(runner.model.backbone.parameters()).register_hook(lambda grad: grad * torch.inf)
    runner.model.backbone.register_forward_hook(diverge)
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    return runner, str(error.value)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, by_epoch):
    runner, message = diverged(config('plain', tmp_path, **{'default_hooks.checkpoint.by_epoch': by_epoch}))
    assert f'the weights are not finite after step 2: {CONV}' in message and str(tmp_path) in message
    kept = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert kept == (['epoch_1.pth'] if by_epoch else ['iter_1.pth'])
    load_weights(runner.model, str(tmp_path / kept[0]))


def test_an_average_that_is_not_finite_stops_the_run(tmp_path):
    cfg = config('plain', tmp_path)
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    runner = build_runner(cfg)
    guard = next(hook for hook in runner.hooks if type(hook).__name__ == 'WeightsGuardHook')
    runner.call_hook('before_run')
    guard.before_use(runner, runner.iter)
    average = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    next(average.parameters()).data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=rf'{CONV} \(averaged\)'):
        guard.before_use(runner, runner.iter)


def test_masks_may_be_infinite(tmp_path):
    runner = build_runner(config('plain', tmp_path))
    runner.model.register_buffer('mask', torch.tensor([0.0, -torch.inf]))
    runner.train()
    path = str(tmp_path / 'epoch_2.pth')
    again = copy.deepcopy(runner.model)
    load_weights(again, path)
    assert again.mask[1] == -torch.inf


def test_the_checkpoint_before_a_damaged_one_is_named(runs, tmp_path):
    folder = shutil.copytree(runs / 'plain', tmp_path / 'plain')
    whole = (folder / 'epoch_2.pth').read_bytes()
    for content in (b'', whole[:len(whole) // 2], whole[:2000] + b'0' * 2000 + whole[4000:]):
        (folder / 'epoch_2.pth').write_bytes(content)
        for load in (check_resumable, Runner.from_cfg(config('plain', tmp_path / 'x')).load_checkpoint):
            with pytest.raises(ValueError, match=r"epoch_2.pth' cannot be read: .*epoch_1.pth', from before it, is wh"):
                load(str(folder / 'epoch_2.pth'))
    edit(folder / 'epoch_1.pth', folder / 'epoch_1.pth', RESUMED['NaN'][0])
    with pytest.raises(ValueError, match='train or download it again'):
        check_resumable(str(folder / 'epoch_2.pth'))


def test_messages_of_the_page_are_those_of_the_package(runs, tmp_path):
    messages = [refusal(name, runs) for name in RESUMED]
    folder = shutil.copytree(runs / 'plain', tmp_path / 'plain')
    (folder / 'epoch_2.pth').write_bytes(b'')
    torch.save({}, folder / 'x.pth')
    known = load_file(str(runs / 'plain' / 'epoch_1.pth'))['meta']['dataset_meta']
    for load in (lambda: check_resumable(str(folder / 'epoch_2.pth')),
                 lambda: init_model(str(runs / 'plain' / 'plain.py'), str(folder / 'x.pth')),
                 lambda: started(config('plain', tmp_path), runs / 'teacher.pth'),
                 lambda: check_classes(known, dict(classes=('0', '2', '1', *'3456789')), "checkpoint 'a/epoch_80.pth'",
                                       'test_dataloader.dataset')):
        with pytest.raises(ValueError) as error:
            load()
        messages.append(str(error.value))
    messages.append(diverged(config('plain', tmp_path / 'diverged'))[1])
    assert_given(quoted('Checkpoints'), messages)
