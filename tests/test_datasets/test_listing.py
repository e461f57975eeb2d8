"""Which files are samples: the same for images, events, the inferencer and the config that counts classes."""
import os
import shutil

import numpy as np
import pytest
from generated_data import write_class_folders
from mmengine.config import Config

from bkdsnn.apis.readers import list_items
from bkdsnn.datasets import EventFolder, ImageFolder, TonicDataset, event_files, tonic_dataset
from bkdsnn.utils import listing
from generated_events import generate_events, write_nmnist
from helpers import REPOSITORY, logged_by

IMAGES, EVENTS = ('x.jpg', 'y.JPG', 'z.Jpeg'), ('x.npy', 'y.NPY', 'z.Npy')
# What is skipped below train/a and train, by the reason given.
SKIPPED = {
    'hidden': ['.DS_Store', '.ipynb_checkpoints/', '__MACOSX/', 'a/._x{0}', 'a/.ipynb_checkpoints/', 'a/@eaDir/'],
    'broken links': ['a/broken{0}'], 'linked in a circle': ['a/sub/up/'], 'no files': ['a/pipe{0}'],
    'of other kinds': ['a/notes.txt'], 'in no class folder': ['readme.md', 'stray{0}']}


@pytest.fixture
def said(monkeypatch):
    return logged_by(monkeypatch, listing, tonic_dataset)


def tree(root, names, write):
    """Two classes, of which ``b`` is a link and ``c`` has no samples, and all that is no sample; gives the samples."""
    train, elsewhere, ending = root / 'train', root / 'elsewhere', names[0][1:]
    for folder in (train / 'a' / 'sub', elsewhere, train / 'c'):
        folder.mkdir(parents=True)
    (train / 'b').symlink_to(elsewhere)
    samples = [train / 'a' / 'sub' / names[1], train / 'a' / names[0], train / 'b' / names[2]]
    for path in samples:
        write(path)
    for folder in ('.ipynb_checkpoints', 'a/.ipynb_checkpoints', '__MACOSX', 'a/@eaDir'):
        (train / folder).mkdir()
        shutil.copy(samples[0], train / folder / names[0])
    for name in ('.DS_Store', f'a/._x{ending}', 'a/notes.txt', 'readme.md', f'stray{ending}'):
        (train / name).write_text('no sample')
    (train / 'a' / f'broken{ending}').symlink_to('nowhere')
    (train / 'a' / 'sub' / 'up').symlink_to(train / 'a')
    os.mkfifo(train / 'a' / f'pipe{ending}')  # which a reader would wait for
    return [str(path) for path in samples]


def write_image(path):
    write_class_folders(path.parent / 'source', ('a', ), 1, 0, (20, 20))
    (path.parent / 'source' / 'train' / 'a' / 'IMG_0000.jpg').rename(path)
    shutil.rmtree(path.parent / 'source')


def write_recording(path):
    with open(path, 'wb') as file:
        np.save(file, generate_events(20, size=(20, 20)))


def check_log(line, ending):
    for reason, names in SKIPPED.items():
        want = ', '.join(name.format(ending) for name in names[:4])
        assert f'{len(names)} {reason}: {want}' in line, line
    assert '12 of 15 entries are skipped' in line


@pytest.mark.parametrize('names, write, build', [
    (IMAGES, write_image, lambda root: ImageFolder(str(root), 'train', pipeline=[])),
    (EVENTS, write_recording, lambda root: EventFolder(str(root), 'train', (20, 20)))], ids=['images', 'events'])
def test_data_sets_list_the_same(names, write, build, tmp_path, said):
    samples = tree(tmp_path, names, write)
    dataset = build(tmp_path)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info.get('img_path') or info['path'] for info in infos] == samples
    assert dataset.metainfo['classes'] == ('a', 'b', 'c') and [info['gt_label'] for info in infos] == [0, 0, 1]
    assert len(said) == 2
    check_log(said[0], names[0][1:])
    assert said[1].endswith('1 of 3 classes have no samples: c.')
    assert all(dataset[i] is not None for i in range(3))


@pytest.mark.parametrize('names, write, extensions', [
    (IMAGES, write_image, listing.IMAGE_EXTENSIONS), (EVENTS, write_recording, event_files.EXTENSIONS)],
    ids=['images', 'events'])
def test_an_inferencer_lists_the_same(names, write, extensions, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('bkdsnn.apis.readers.print_log', lambda line, **_: lines.append(line))
    samples = tree(tmp_path, names, write)
    (tmp_path / 'train' / f'stray{names[0][1:]}').unlink()
    assert [item.name for item in list_items(tmp_path / 'train', extensions)] == samples
    assert len(lines) == 1 and '6 hidden: ' in lines[0] and '1 broken links: ' in lines[0]


def test_the_config_counts_the_same_classes(tmp_path, monkeypatch):
    tree(tmp_path, IMAGES, write_image)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/datasets/image_folder_224.py')
    assert list(cfg.classes) == ['a', 'b', 'c'] and cfg.num_classes == 3 and 'listing' not in cfg


def test_hidden_recordings_of_a_published_set_are_no_part_of_it(tmp_path, said):
    write_nmnist(tmp_path, per_class=1)
    folder = tmp_path / 'NMNIST' / 'Train' / '3'
    shutil.copy(folder / '00000.bin', folder / '._00000.bin')
    dataset = TonicDataset('NMNIST', str(tmp_path), 'train', partial=True)
    assert len(dataset) == 10 and sorted(dataset.get_gt_labels()) == list(range(10))
    assert '1 of 11 files are skipped, since they are hidden: Train/3/._00000.bin' in said[0]


def test_folders_without_anything_else_are_not_spoken_of(tmp_path, said):
    write_class_folders(tmp_path, train_per_class=1)
    ImageFolder(str(tmp_path), 'train', pipeline=[])
    assert said == []


@pytest.mark.parametrize('inputs', ['', ['a.png', '']])
def test_an_empty_path_is_not_the_current_folder(inputs):
    with pytest.raises(ValueError, match=r'path of input \d is empty'):
        list_items(inputs, listing.IMAGE_EXTENSIONS)
