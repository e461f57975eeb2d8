"""Looking at data sets, and filling caches, through the tools."""
import runpy
import sys
from collections import OrderedDict

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.data import DataLoader

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.datasets import DigitsDVS, TonicDataset
from bkdsnn.registry import DATASETS
from bkdsnn.visualization.browse import animation, draw_steps, event_image, sample_steps
from generated_events import write_cifar10_dvs
from helpers import DEMO, REPOSITORY

ON, OFF = (213, 94, 0), (0, 114, 178)


def run_tool(name, *arguments, monkeypatch, capsys):
    """In this process, since starting one takes long; returns what it prints."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())  # as in a new one
    runpy.run_path(str(REPOSITORY / 'tools' / name), run_name='__main__')
    return capsys.readouterr().out


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda name, *arguments: run_tool(name, *arguments, monkeypatch=monkeypatch, capsys=capsys)


def small_config(folder, name='events_mixed', per_class=1):
    cfg = Config.fromfile(DEMO / f'{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.labels_per_class = per_class
    cfg.dump(str(folder / 'small.py'))
    return folder / 'small.py'


# ---- browse_dataset ----

@pytest.mark.parametrize('movie', ['gif', 'mp4'])
def test_samples_of_events_are_drawn_with_animations(tmp_path, run, movie):
    out = run('visualization/browse_dataset.py', small_config(tmp_path), '--show-number', 2, '--output-dir',
              tmp_path / 'drawn', '--format', movie)
    assert f'2 of 10 samples are drawn in {tmp_path}/drawn' in out
    files = sorted(path.name for path in (tmp_path / 'drawn').iterdir())
    assert len(files) == 6 and sum(name.endswith(movie) for name in files) == 4
    picture = np.asarray(Image.open(tmp_path / 'drawn' / next(name for name in files if name.endswith('png'))))
    assert picture.std() > 10
    if movie == 'gif':
        lengths = [Image.open(tmp_path / 'drawn' / name).n_frames for name in files if name.endswith('gif')]
        assert lengths == [30, 16] * 2


def test_samples_of_images_are_drawn(tmp_path, run):
    config = small_config(tmp_path, 'plain')
    with open(config, 'a') as file:  # a transform of this package, by its name alone
        file.write("val_dataloader['dataset']['pipeline'].insert(0, dict(type='CentralSquare', scale=8))\n")
    run('visualization/browse_dataset.py', config, '--show-number', 1, '--output-dir', tmp_path / 'drawn', '--phase',
        'val')
    (file, ) = (tmp_path / 'drawn').iterdir()
    assert file.name == '00000_7.png'


@pytest.mark.parametrize('name, titles', [
    ('events_mixed', ['recording', 'TwoViews', 'RandomFrameRoll']), ('plain', ['image', 'RandomCrop'])])
def test_a_step_shows_what_each_transform_changed(name, titles):
    cfg = Config.fromfile(DEMO / f'{name}.py')
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, labels_per_class=1))
    np.random.seed(1)
    steps = sample_steps(dataset, 3)
    assert [step.title.split('(')[0] for step in steps] == titles
    assert len(draw_steps(steps, 'sample').subfigs) == sum(max(len(step.frames), 1) for step in steps)
    if name == 'events_mixed':
        np.random.seed(1)
        packed = dataset[3]['inputs']
        for view, frames in steps[-1].frames.items():
            np.testing.assert_array_equal(frames, packed[view].numpy())
        assert animation(steps[-1]).shape[0] == 16


@pytest.mark.parametrize('as_image', [True, ['teacher']])
def test_frames_of_image_networks_are_drawn_as_frames(as_image):
    views = dict(type='TwoViews', student=dict(type='EventsToFrames', time_steps=4),
                 teacher=dict(type='EventsToFrames', time_steps=5))
    dataset = DigitsDVS('val', labels_per_class=1, pipeline=[views, dict(type='PackEvents', as_image=as_image)])
    steps = sample_steps(dataset, 0)
    assert len(steps) == 2 and set(steps[1].frames) == {'student', 'teacher'}
    draw_steps(steps, 'sample')


def test_events_are_orange_where_it_brightened_and_blue_where_it_darkened():
    frame = np.zeros((2, 2, 2))
    frame[1, 0, 0], frame[0, 1, 1] = 3, 3
    picture = event_image(frame)
    assert picture[0, 0].tolist() == list(ON) and picture[1, 1].tolist() == list(OFF)
    assert picture[0, 1].tolist() == [255, 255, 255] == event_image(0 * frame)[0, 0].tolist()


def test_an_empty_recording_is_drawn():
    dataset = DigitsDVS('val', labels_per_class=1, pipeline=[dict(type='EventsToFrames', time_steps=2)],
                        camera=dict(threshold=100.0, noise_rate=0.0))
    steps = sample_steps(dataset, 0)
    assert len(steps[0].events) == 0
    draw_steps(steps, 'nothing').savefig('/dev/null', format='png')
    assert animation(steps[0]).min() == 255


# ---- errors of workers ----

def test_a_damaged_recording_is_one_line_where_workers_load_too(tmp_path):
    write_cifar10_dvs(tmp_path, numbers=[0], number=50)
    path = tmp_path / 'CIFAR10DVS' / 'cat' / 'cifar10_cat_0.aedat4'
    path.write_bytes(path.read_bytes()[:-5])
    dataset = TonicDataset('CIFAR10DVS', str(tmp_path), 'train', partial=True)
    with pytest.raises(SystemExit) as error, fail_clearly():
        list(DataLoader(dataset, num_workers=1, collate_fn=list))
    message = str(error.value)
    assert message.startswith(f'Error: {path} cannot be read as AEDAT4') and '\n' not in message
    assert 'in a worker that loads data' in message


# ---- cache_samples ----

def test_caches_are_filled_once_and_anew_when_asked(tmp_path, run):
    config = small_config(tmp_path)
    arguments = ['dataset_converters/cache_samples.py', config, '--cache-dir', tmp_path / 'cache', '--workers', 0]
    assert '30 samples' in run(*arguments)
    (folder, ) = (tmp_path / 'cache').iterdir()
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(written) == 30
    run(*arguments)
    assert written == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    run(*arguments, '--rebuild')
    assert all(path.stat().st_mtime_ns > time for path, time in written.items())


def test_a_config_without_a_cache_is_named(tmp_path, run):
    with pytest.raises(SystemExit, match='no data set of it has a cache_dir'):
        run('dataset_converters/cache_samples.py', small_config(tmp_path))
