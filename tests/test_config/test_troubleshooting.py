"""Each message in docs/troubleshooting.md is one that bad input gives."""
import pytest
import torchvision
from generated_data import write_class_folders
from setting_cases import SETTINGS
from test_built import BUILT, message_of
from test_checks import message_about
from test_config_files import BROKEN, broken
from test_on_disk import CONFIGS, no_network, problem
from troubleshooting import SECTIONS, assert_given, quoted

from bkdsnn.config.files import read_config_file
from bkdsnn.models.teachers.sources import build_teacher
from bkdsnn.registry import MODELS
from helpers import DEMO, tiny_student


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


def networks():
    yield from map(message_of, BUILT)
    yield raised(MODELS.build, dict(tiny_student(), head=dict(type='SpikingLinearHead', num_classes=10, in_channels=5)))


def test_messages_of_the_page_are_those_of_the_package(tmp_path, monkeypatch):
    """Those about checkpoints are in tests/test_engine/test_loading.py."""
    lines = [line for section in SECTIONS if section != 'Checkpoints' for line in quoted(section)]
    assert len(lines) > 30
    assert_given(lines, [*map(message_about, SETTINGS), *files(tmp_path, monkeypatch),
                         *data_and_weights(tmp_path, monkeypatch), *networks()])
