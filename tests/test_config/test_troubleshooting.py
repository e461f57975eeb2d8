"""Each message in docs/troubleshooting.md is one that bad input gives."""
import errno
import socket
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torchvision
from data_cases import BROKEN as DAMAGED
from data_cases import OTHERS, SIZE, images
from generated_data import write_class_folders
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from setting_cases import SETTINGS
from test_built import BUILT, message_of
from test_checks import message_about
from test_config_files import BROKEN, broken
from test_last_batch import loader, network
from test_on_disk import CONFIGS, no_network, problem
from troubleshooting import SECTIONS, assert_given, quoted

from bkdsnn.config.checks.last_batch import check_last_batch
from bkdsnn.config.files import read_config_file
from bkdsnn.datasets import cached_pipeline
from bkdsnn.datasets.event_files import read_events
from bkdsnn.datasets.events import check_events
from bkdsnn.engine import resumed_settings
from bkdsnn.engine.resumed_settings import check_changes, take_optimizer_settings
from bkdsnn.models.teachers.sources import build_teacher
from bkdsnn.registry import MODELS
from bkdsnn.runs import lock
from bkdsnn.runs.full_disk import explained
from bkdsnn.runs.lock import locked
from helpers import DEMO, REPOSITORY, logged_by, tiny_student, tool_environment


def raised(function, *args):
    with pytest.raises((ValueError, OSError)) as error:
        function(*args)
    return str(error.value)


def files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in BROKEN:
        folder = tmp_path / name.replace(' ', '_')
        folder.mkdir()
        yield broken(name, folder)


def data_and_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imagenet = read_config_file(CONFIGS / 'bkd/spikformer_imagenet.py')
    yield problem(imagenet)
    write_class_folders(tmp_path / 'images', classes=('apple', 'banana'))
    imagenet.train_dataloader.dataset.data_root = str(tmp_path / 'images')
    yield problem(imagenet)
    yield problem(read_config_file(DEMO / 'mixed.py'))
    monkeypatch.setattr(torchvision.models, 'get_model', no_network)
    yield raised(build_teacher, 'torchvision/resnet18.IMAGENET1K_V1', 'pretrained')


def another(checkpoint, changed):
    """A resumed run that differs from its checkpoint."""
    runner = SimpleNamespace(max_epochs=8, train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop))
    return raised(check_changes, runner, dict(checkpoint, meta=checkpoint.get('meta', {})), changed)


def groups(*sizes):
    return [dict(params=list(range(size))) for size in sizes]


def resuming(tmp_path, monkeypatch):
    yield another({}, {'optim_wrapper.optimizer.type': ['SGD', 'AdamW']})
    wrapper = OptimWrapper.__new__(OptimWrapper)
    wrapper.optimizer = SimpleNamespace(param_groups=groups(1, 2))
    yield raised(take_optimizer_settings, SimpleNamespace(optim_wrapper=wrapper),
                 dict(optimizer=dict(param_groups=groups(3))), ['optim_wrapper.paramwise_cfg'])
    yield another(dict(meta=dict(epoch=12)), {})
    monkeypatch.setattr(lock, 'PATIENCE', 0)
    with locked(tmp_path / 'mixed'):
        yield raised(locked(tmp_path / 'mixed').__enter__)
    for code in (errno.EROFS, errno.ENOSPC):
        yield raised(disk_error, tmp_path, code)
        (tmp_path / 'epoch_11.pth').touch()


def logged(monkeypatch):
    """What is no error."""
    lines = logged_by(monkeypatch, resumed_settings)
    resumed_settings.say({'optim_wrapper.optimizer.lr': ['1', '0.5']})
    return lines


def disk_error(folder, code):
    with explained(str(folder)):
        raise OSError(code, 'it says something', str(folder / 'epoch_12.pth'))


def ports():
    """Of a script; the port there is another one."""
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([REPOSITORY / 'tools/dist_run.sh', '2', 'train.py'], env=tool_environment(PORT=str(port)),
                              capture_output=True, text=True, check=False)
    yield done.stderr.strip().removeprefix('Error: ').replace(str(port), '29500')


def samples(tmp_path, monkeypatch):
    """Messages about single files, which begin with their names or follow them."""
    for name in ('empty', 'text', '12 bits'):
        yield raised_of_broken(name, tmp_path / name.replace(' ', '_'))
    np.savez(tmp_path / 'x', [1])
    (tmp_path / 'x.npz').rename(tmp_path / 'x.npy')
    yield raised(read_events, tmp_path / 'x.npy')
    for how in ('rows in seconds', 'signs'):
        yield f'x.npy: {raised(check_events, OTHERS[how], SIZE)}'
    logged_by(monkeypatch, cached_pipeline)
    dataset = images(tmp_path / 'all', on_error='skip', train=1)
    for path in (tmp_path / 'all').rglob('*.jpg'):
        path.write_bytes(b'')
    yield raised(dataset.__getitem__, 0)


def raised_of_broken(name, root):
    dataset = images(root, lazy_init=True)
    dataset.full_init()
    DAMAGED[name][0](root / 'train' / 'a' / 'IMG_0001.jpg')
    return raised(dataset.__getitem__, 1)


def networks():
    model = network(8)
    yield raised(check_last_batch, loader(model), model, 'train_dataloader')
    yield from map(message_of, BUILT)
    yield raised(MODELS.build, dict(tiny_student(), head=dict(type='SpikingLinearHead', num_classes=10, in_channels=5)))


def test_messages_of_the_page_are_those_of_the_package(tmp_path, monkeypatch):
    """Those about checkpoints are in tests/test_engine/test_loading.py."""
    lines = [line for section in SECTIONS if section != 'Checkpoints' for line in quoted(section)]
    assert len(lines) > 30
    assert_given(lines, [*map(message_about, SETTINGS), *files(tmp_path, monkeypatch),
                         *data_and_weights(tmp_path, monkeypatch), *networks(), *resuming(tmp_path, monkeypatch),
                         *ports(), *samples(tmp_path, monkeypatch)], logged(monkeypatch))
