"""Each message in docs/troubleshooting.md is one that bad input gives."""
import re

import numpy as np
import pytest
import torchvision
from data_cases import BROKEN as DAMAGED
from data_cases import OTHERS, SIZE, images
from generated_data import write_class_folders
from setting_cases import SETTINGS
from test_built import BUILT, message_of
from test_checks import message_about
from test_config_files import BROKEN, broken
from test_last_batch import loader, network
from test_on_disk import CONFIGS, no_network, problem

from bkdsnn.config.checks.last_batch import check_last_batch
from bkdsnn.config.files import read_config_file
from bkdsnn.datasets import cached_pipeline
from bkdsnn.datasets.event_files import read_events
from bkdsnn.datasets.events import check_events
from bkdsnn.models.teachers.sources import build_teacher
from bkdsnn.registry import MODELS
from helpers import DEMO, REPOSITORY, tiny_student

PAGE = (REPOSITORY / 'docs' / 'troubleshooting.md').read_text()
QUOTED = [line for block in re.findall(r'```text\n(.*?)```', PAGE, re.DOTALL) for line in block.splitlines()]


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


def samples(tmp_path, monkeypatch):
    """Messages about single files, which begin with their names or follow them."""
    for name in ('empty', 'text', '12 bits'):
        yield raised_of_broken(name, tmp_path / name.replace(' ', '_'))
    np.savez(tmp_path / 'x', [1])
    (tmp_path / 'x.npz').rename(tmp_path / 'x.npy')
    yield raised(read_events, tmp_path / 'x.npy')
    for how in ('rows in seconds', 'signs'):
        yield f'x.npy: {raised(check_events, OTHERS[how], SIZE)}'
    monkeypatch.setattr(cached_pipeline, 'print_log', lambda *_, **__: None)
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
    """Where the page has three dots, there may be anything."""
    given = [f'Error: {message}' for message in (
        *map(message_about, SETTINGS), *files(tmp_path, monkeypatch), *data_and_weights(tmp_path, monkeypatch),
        *samples(tmp_path, monkeypatch), *networks())]
    assert len(QUOTED) > 30 and all(line.startswith('Error: ') for line in QUOTED)
    for line in QUOTED:
        pattern = '.*'.join(map(re.escape, line.split('...')))
        assert any(re.fullmatch(pattern, message) for message in given), line
