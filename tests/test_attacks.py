"""No file runs code, whichever way it is opened, and honest files are read as before."""
import argparse
import collections
import copy
import json
import pickle
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_torch_safe_globals, load_checkpoint

import attacks
from bkdsnn import SpikingInferencer
from bkdsnn.checkpoints.files import check_resumable, load_file, load_weights
from bkdsnn.config.text import parse_config
from bkdsnn.datasets import CIFAR10, EventFolder
from bkdsnn.datasets.sample_cache import SampleCache
from bkdsnn.export.command import load_student
from bkdsnn.models import FrozenTeacher
from helpers import DEMO, demo_config, run_tool

RECONSTRUCT = np.zeros(1).__reduce__()[0]


@pytest.fixture
def mark(tmp_path):
    """A file that is there if code was run."""
    return tmp_path / 'mark'


@pytest.fixture
def code(mark):
    """Python that makes the mark."""
    return f'open("{mark}", "w")'


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    """A runner that has trained for one epoch, so that it has all that a checkpoint is read into."""
    cfg = demo_config('plain', tmp_path_factory.mktemp('run'), epochs=1,  # as large as the one of the package
                      **{'model.backbone.arch.widths': (16, 32, 64), 'model.head.in_channels': 64})
    cfg.model.backbone.neuron.backend = 'eager'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def honest(runner):
    """Path of that run's checkpoint."""
    return f'{runner.work_dir}/epoch_1.pth'


def export(path):
    """What the export tools begin with."""
    return load_student(argparse.Namespace(config=str(DEMO / 'plain.py'), checkpoint=path, cfg_options=None,
                                           num_samples=1, shape=[1, 8, 8], no_normalise=True))


ROUTES = dict(
    train=lambda path, runner: runner.load_checkpoint(path),
    resume=lambda path, runner: runner.resume(path),
    resume_by_the_tool=lambda path, runner: check_resumable(path),
    test=lambda path, runner: load_weights(runner.model, path),
    pretrained=lambda path, runner: load_checkpoint(runner.model, path),
    teacher=lambda path, runner: FrozenTeacher(str(DEMO / 'teacher.py'), path),
    inferencer=lambda path, runner: SpikingInferencer('demo/plain', path),
    published=lambda path, runner: SpikingInferencer(path),
    export=lambda path, runner: export(path),
)


def tool_routes(monkeypatch):
    """Tools that read files, by their functions."""
    monkeypatch.syspath_prepend(DEMO.parents[1] / 'tools' / 'model_converters')
    import convert_official
    import publish_model
    return dict(convert=lambda path, runner: convert_official.convert(path, f'{path}.out.pth', 'auto', {}),
                publish=lambda path, runner: publish_model.publish(path, f'{path}.out.pth'))


@pytest.mark.parametrize('name', attacks.ATTACKS)
def test_no_pickle_runs_code(name, tmp_path, code, mark, runner, honest, monkeypatch):
    path = attacks.write(name, load_file(honest), tmp_path, code)
    statistics = dict(HistoryBuffer._statistics_methods)
    for route, opens in {**ROUTES, **tool_routes(monkeypatch)}.items():
        with pytest.raises(ValueError, match=f'{name}.*cannot be read'):
            opens(path, runner)
        assert not mark.exists(), route
    assert HistoryBuffer._statistics_methods == statistics


# TorchScript holds no Python, and the name is that of another format.
@pytest.mark.parametrize('name', sorted(attacks.ATTACKS.keys() - {'more_pickles_in_the_archive', 'not_safetensors'}))
def test_the_attacks_are_real(name, tmp_path, code, mark, honest):
    """A careless reader runs their code; with those by ``getattr``, mmengine's careful one does."""
    path = attacks.write(name, load_file(honest), tmp_path, code)
    with suppress(Exception):  # after it was run
        if 'getattr' in name or 'globals' in name or 'history' in name:
            with torch.serialization.safe_globals(get_torch_safe_globals()):
                torch.load(path, weights_only=True)
        else:
            torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize('text', ['{code}', 'model = dict(type={code})', 'import os; {code}'])
def test_config_text_in_a_checkpoint_is_never_executed(text, tmp_path, code, mark, runner, honest, monkeypatch):
    content, text = load_file(honest), text.format(code=code)
    content['meta'].update(cfg=text, config=text, config_json=text)
    torch.save(content, tmp_path / 'epoch_1.pth')
    path = str(tmp_path / 'epoch_1.pth')
    for route in ('train', 'resume', 'resume_by_the_tool', 'test', 'pretrained', 'inferencer', 'export'):
        ROUTES[route](path, runner)
    with pytest.raises(ValueError, match='the config inside .*epoch_1.pth.* is not built'):
        SpikingInferencer(path)
    with pytest.raises(ValueError, match=r'\(meta.cfg\) is not run.*line 1 is more than a name and its value'):
        tool_routes(monkeypatch)['publish'](path, runner)
    assert not mark.exists()


def test_config_text_is_read_as_mmengine_reads_it():
    for path in DEMO.glob('*mixed.py'):
        text = Config.fromfile(path).pretty_text
        assert parse_config(text).to_dict() == Config.fromstring(text, '.py').to_dict()


@pytest.mark.parametrize('text', ['a = b', 'a, b = 1, 2', 'a = [i for i in ()]', 'a = dict(**dict())', 'a.b = 1',
                                  'a = b = 1', 'def', 'a = dict(1)', 'a = ' + '-' * 2000 + '1', 'a = 1\0'])
def test_other_text_is_no_config(text):
    with pytest.raises(ValueError, match='line 1 is more than a name and its value|it is no config'):
        parse_config(text)


def same(a, b):
    """Whether two things that were read are equal, with their types, to the last bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        same(list(a.values()), list(b.values()))
        same(getattr(a, '_metadata', None), getattr(b, '_metadata', None))
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(a, HistoryBuffer):
        same((*a.data, a.max_length), (*b.data, b.max_length))
    elif isinstance(a, (np.ndarray, np.generic)):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    elif isinstance(a, argparse.Namespace):
        same(vars(a), vars(b))
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize('numpy', ['numpy._core', 'numpy.core'])
def test_an_honest_checkpoint_is_read_whole(tmp_path, honest, numpy):
    """As Python's own pickles read it, whichever version of NumPy wrote it."""
    content = torch.load(honest, weights_only=False)
    content['others'] = dict(
        arrays=[np.arange(6.).reshape(2, 3).T, np.zeros((0, 3), '>i4'), np.array('text'), np.array([b'x']),
                np.array([True]), np.float16([[1]])],
        numbers=[np.float32(3), np.int64(-1), np.bool_(True), np.str_('é'), np.complex64(1j)],
        args=argparse.Namespace(T=np.int64(4), names=['a']), counts=collections.Counter(a=2), bytes=[b'', b'\xff'],
        kinds=[{1, 2}, 1j, torch.float16, torch.Size([1]), torch.device('cpu'), bytearray(b'a')])
    torch.save(content, tmp_path / 'whole.pth')
    if numpy not in RECONSTRUCT.__module__:
        with zipfile.ZipFile(tmp_path / 'whole.pth') as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / 'whole.pth', 'w') as archive:
            for name, data in records.items():
                archive.writestr(name, data.replace(f'c{RECONSTRUCT.__module__}'.encode(),
                                                    f'c{numpy}.multiarray'.encode()))
    found = load_file(str(tmp_path / 'whole.pth'))
    same(found, content)
    assert all(isinstance(value, HistoryBuffer) for value in found['message_hub']['log_scalars'].values())


def test_a_run_goes_on_from_what_was_read_as_from_what_was_written(runner, honest, tmp_path):
    """Weights, optimizer, schedulers and message hub after resuming, saved once more."""
    runner.resume(honest)
    runner.save_checkpoint(str(tmp_path), 'again.pth', meta=dict(epoch=1, iter=runner.iter))
    first, again = load_file(honest), load_file(str(tmp_path / 'again.pth'))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        same(again[key], first[key])
    for key, buffer in first['message_hub']['log_scalars'].items():
        same(again['message_hub']['log_scalars'][key], buffer)
    hub = runner.message_hub.get_scalar('train/loss')
    hub.update(1.0)
    assert hub.statistics('current') == 1.0 and np.isfinite(hub.statistics('mean', 2))


def array(code, state, *structure, content=b'\0' * 8, shape=(1, )):
    """The pickle of an array of a type that is described by hand."""
    dtype = attacks.State(np.dtype, (code, False, True), (3, state, None, *structure))
    return attacks.State(RECONSTRUCT, (np.ndarray, (0, ), b'b'), (1, shape, dtype, False, content))


FIELD = ('f', ), dict(f=(np.dtype('i8'), 1 << 20))


@pytest.mark.parametrize('value, words', [
    (array('V8', '|', *FIELD, 8, 1, 0), "arrays of 'V8'"), (array('i8', '<', *FIELD, 8, 1, 0), "'i8' with fields"),
    (array('O8', '|', None, None, -1, -1, 63), "arrays of 'O8'"),
    (array('i8', '<', None, None, -1, -1, 0, shape=(1 << 40, )), 'other bytes than it needs'),
    (array('i8', '<', None, None, -1, -1, 0, shape=(-1, )), 'other bytes than it needs'),
    (attacks.Call(getattr, HistoryBuffer(), 'mean'), 'calls builtins.getattr'),
    (attacks.Call(getattr, np.ndarray, '__class__'), 'calls builtins.getattr'),
    (attacks.State(HistoryBuffer, (), dict(_log_history=[1], _count_history=[1], max_length=1)), 'history buffer'),
    (HistoryBuffer.__new__(HistoryBuffer), 'history buffer'), (np.ndarray, 'holds a type'),
    (torch._utils._rebuild_tensor_v2, 'holds a function'), (np.datetime64('2026-01-01'), "arrays of 'M8'")])
def test_what_describes_no_numbers_is_refused(tmp_path, value, words):
    torch.save(dict(state_dict={}, x=value), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=f'cannot be read: it (holds|calls).*{words}|cannot be read.*{words}'):
        load_file(str(tmp_path / 'x.pth'))


@pytest.mark.parametrize('taken', [np.dtype, np.ndarray, HistoryBuffer])
def test_what_takes_another_class_is_checked_too(tmp_path, taken):
    """PyTorch sets any attribute of what was rebuilt, also its class."""
    dtype = attacks.by_rebuilding(argparse.Namespace, argparse.Namespace)
    dtype.args = (*dtype.args[:3], dict(code='O8', state=None, __class__=taken))
    value = dtype if taken is not np.dtype else attacks.State(
        RECONSTRUCT, (np.ndarray, (0, ), b'b'), (1, (1, ), dtype, False, b'\0' * 8))
    torch.save(dict(state_dict={}, x=value), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match="cannot be read: it holds (arrays of 'O8'|an array|a history buffer)"):
        load_file(str(tmp_path / 'x.pth'))


def test_a_history_buffer_brings_neither_methods_nor_attributes(tmp_path):
    state = dict(HistoryBuffer([1.], [1]).__getstate__(), mean=set, __deepcopy__=set)
    state['statistics_methods'] = dict(state['statistics_methods'], mean=HistoryBuffer.max, worse=HistoryBuffer.min)
    torch.save(dict(x=attacks.State(HistoryBuffer, (), state)), tmp_path / 'x.pth')
    buffer = load_file(str(tmp_path / 'x.pth'))['x']
    assert set(vars(buffer)) == {'max_length', '_log_history', '_count_history'}
    assert HistoryBuffer._statistics_methods['mean'] is HistoryBuffer.mean
    assert 'worse' not in HistoryBuffer._statistics_methods


def test_containers_bring_nothing_but_their_content_and_repeated_ones_take_no_time(tmp_path):
    bomb, tensor = [], torch.ones(2)
    for _ in range(60):
        bomb = [bomb, bomb]
    weights = collections.OrderedDict(a=tensor, b=tensor)
    weights.copy, weights._metadata = collections.Counter, collections.OrderedDict()
    torch.save(dict(state_dict=weights, bomb=bomb), tmp_path / 'x.pth')
    found = load_file(str(tmp_path / 'x.pth'))
    assert found['state_dict']['a'] is found['state_dict']['b'] and found['bomb'][0] is found['bomb'][1]
    assert set(vars(found['state_dict'])) == {'_metadata'}


def test_what_others_allowed_pytorch_to_read_is_not_allowed_here(tmp_path, code, mark, honest):
    path = attacks.write('exec_by_getattr_self', load_file(honest), tmp_path, code)
    with torch.serialization.safe_globals([getattr, exec]):
        with pytest.raises(ValueError, match='cannot be read'):
            load_file(path)
        assert set(torch.serialization.get_safe_globals()) >= {getattr, exec}
    assert not mark.exists()


def test_the_tools_run_no_code_either(tmp_path, code, mark, runner, honest):
    """Trained on from a checkpoint that brings a config; tested with one that brings a function."""
    cfg = Config(copy.deepcopy(runner.cfg.to_dict()))
    cfg.merge_from_dict({'work_dir': str(tmp_path / 'work'), 'train_cfg.max_epochs': 2})
    cfg.dump(str(tmp_path / 'plain.py'))
    content = load_file(honest)
    content['meta'].update(config=code, cfg=code)
    torch.save(content, tmp_path / 'text.pth')
    done = run_tool('tools/train.py', tmp_path / 'plain.py', '--resume', tmp_path / 'text.pth')
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / 'work' / 'epoch_2.pth').is_file()
    evil = attacks.write('exec_by_getattr_self', content, tmp_path, code)
    done = run_tool('tools/test.py', tmp_path / 'plain.py', evil)
    assert done.returncode == 1 and 'exec_by_getattr_self.pth' in done.stderr and 'cannot be read' in done.stderr
    assert not mark.exists()


def test_recordings_and_images_run_no_code(tmp_path, code, mark):
    folder = tmp_path / 'data' / 'test' / 'cat'
    folder.mkdir(parents=True)
    np.save(folder / 'a.npy', np.array([attacks.Call(exec, code)], object), allow_pickle=True)
    with open(folder / 'b.npy', 'wb') as file:
        pickle.dump(attacks.Call(exec, code), file)
    np.savez(folder / 'c.npz', x=np.array([attacks.Call(exec, code)], object))
    (folder / 'c.npz').rename(folder / 'c.npy')
    dataset = EventFolder(str(tmp_path / 'data'), 'test', (10, 10))
    for i in range(3):
        with pytest.raises(OSError, match=r'[abc]\.npy cannot be read'):
            dataset.read_events(dataset.get_data_info(i))
    inferencer = SpikingInferencer('demo/events_plain')
    assert all('cannot be read' in result['error'] for result in inferencer([str(path) for path in folder.iterdir()]))
    for name in ('data_batch_1', 'data_batch_2', 'data_batch_3', 'data_batch_4', 'data_batch_5', 'test_batch'):
        path = tmp_path / 'cifar-10-batches-py' / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(dict(labels=[0], data=array('V8', '|', *FIELD, 8, 1, 0)), 2))
    with pytest.raises(ValueError, match="test_batch is damaged .* arrays of 'V8'"):
        CIFAR10(str(tmp_path), 'test')
    for name in ('test_batch', ):
        (path.parent / name).write_bytes(pickle.dumps(attacks.State(np.ndarray, ((1, ), ), (None, dict(x=exec))), 2))
    with pytest.raises(ValueError, match='test_batch is damaged .* names .*exec'):
        CIFAR10(str(tmp_path), 'test')
    assert not mark.exists()


def test_a_cached_sample_runs_no_code(tmp_path, code, mark):
    """One that is foreign is made anew."""
    cache = SampleCache(str(tmp_path), 'Set', 'steps')
    made = np.arange(3)
    assert np.array_equal(cache.get('a', None, lambda: made), made)
    (entry, ) = cache.folder.iterdir()
    line = json.loads(entry.read_bytes().split(b'\n')[1])
    content = np.zeros(8, np.uint8).tobytes()
    for layout in ([['', 'O', 'O', [1]]], [['', 'O,i8', 'i8,O', [1]]], [['', 'int64', 'int64', [-1]]]):
        text = json.dumps(dict(line, layout=layout, crc=zlib.crc32(content))).encode()
        entry.write_bytes(b'%08x\n%s\n' % (zlib.crc32(text), text) + content)
        assert np.array_equal(cache.get('a', None, lambda: made), made)
    entry.write_bytes(pickle.dumps(attacks.Call(exec, code)))
    assert np.array_equal(cache.get('a', None, lambda: made), made) and not mark.exists()
