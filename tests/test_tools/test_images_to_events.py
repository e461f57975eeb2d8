"""The converter from images to event recordings: called as a user does, and then in this process, which is faster."""
import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.datasets.event_files import read_events
from helpers import REPOSITORY, run_tool

TOOL = 'tools/dataset_converters/images_to_events.py'
SMALL = ['--size', '20', '18', '--interval', '20000']


def write_images(root):
    """Two splits of two classes, in several formats and sizes; the images' paths below ``root``."""
    rng = np.random.default_rng(0)
    paths = []
    for split in ('train', 'val'):
        for name, suffix, shape in (('cat', '.png', (12, 9)), ('cat', '.JPG', (40, 60, 3)), ('dog', '.bmp', (7, 7))):
            image = cv2.GaussianBlur(rng.integers(0, 256, shape).astype(np.uint8), (0, 0), 2)
            image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
            path = root / split / name / f'{len(paths)}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            paths.append(path.relative_to(root))
    return paths


@pytest.fixture(scope='module')
def tool():
    """The tool's own functions."""
    spec = importlib.util.spec_from_file_location('images_to_events', REPOSITORY / TOOL)
    module = sys.modules['images_to_events'] = importlib.util.module_from_spec(spec)  # there for the workers
    spec.loader.exec_module(module)
    yield module
    del sys.modules['images_to_events']


@pytest.fixture
def convert(tool, monkeypatch, capsys):
    """Function that runs the tool and returns its exit status, None for success, and what it printed."""

    def run(src, dst, *options):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, [src, dst, *SMALL, *options])])
        error = None
        try:
            with fail_clearly():
                tool.main()
        except SystemExit as exit:
            error = exit.code
        return error, capsys.readouterr().out

    return run


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    """Folders of images and of their recordings, and the paths of the images."""
    root = tmp_path_factory.mktemp('converted')
    paths = write_images(root / 'images')
    result = run_tool(TOOL, root / 'images', root / 'events', *SMALL)
    assert result.returncode == 0, result.stderr
    return root / 'images', root / 'events', paths


def recordings(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*.npy')}


def test_the_tree_of_images_becomes_a_tree_of_recordings(converted):
    _, events, paths = converted
    assert set(recordings(events)) == {path.with_suffix('.npy').as_posix() for path in paths}
    for path in paths:
        recording = read_events(events / path.with_suffix('.npy'))
        assert len(recording) > 50 and (np.diff(recording['t']) >= 0).all()
        assert recording['x'].max() < 20 and recording['y'].max() < 18 and recording['t'].max() <= 300000
        assert 0.4 < recording['p'].mean() < 0.6


def test_parameters_are_written_down(converted):
    parameters = json.loads((converted[1] / 'camera.json').read_text())
    assert parameters['sensor_size'] == [20, 18, 2]
    assert {'threshold', 'threshold_mismatch', 'refractory_period', 'noise_rate', 'seed'} < set(parameters['camera'])
    assert parameters['motion']['interval'] == 20000


def test_a_run_makes_only_what_is_missing_and_workers_make_the_same(convert, converted, tmp_path):
    images, events, paths = converted
    before = recordings(events)
    kept = tmp_path / 'events' / paths[0].with_suffix('.npy')
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b'kept')
    (tmp_path / 'events' / 'camera.json').write_bytes((events / 'camera.json').read_bytes())
    error, output = convert(images, tmp_path / 'events', '--workers', '2')
    assert error is None and '6 recordings, of which 1 were there' in output
    after = recordings(tmp_path / 'events')
    assert after.pop(paths[0].with_suffix('.npy').as_posix()) == b'kept'
    before.pop(paths[0].with_suffix('.npy').as_posix())
    assert after == before


def test_other_parameters_are_not_mixed_in(convert, converted):
    images, events, _ = converted
    before = recordings(events)
    error, _ = convert(images, events, '--threshold', '0.35')
    assert 'were made in another way: camera={' in error and "'threshold': 0.35" in error
    assert recordings(events) == before


def test_recordings_of_unknown_origin_are_not_mixed_in(convert, converted, tmp_path):
    images, events, paths = converted
    (tmp_path / paths[0]).parent.mkdir(parents=True)
    (tmp_path / paths[0].with_suffix('.npy')).write_bytes(b'unknown')
    error, _ = convert(images, tmp_path)
    assert 'holds recordings but no camera.json' in error
    assert len(recordings(tmp_path)) == 1


def test_damaged_images_are_named_and_the_others_done(convert, converted, tmp_path):
    paths = write_images(tmp_path / 'images')
    truncated, foreign = tmp_path / 'images' / paths[1], tmp_path / 'images' / paths[3]
    truncated.write_bytes(truncated.read_bytes()[:200])
    foreign.write_bytes(b'no image')
    error, output = convert(tmp_path / 'images', tmp_path / 'events')
    assert '4 recordings' in output and '2 of 6 images cannot be read' in error
    assert all(str(path) in error for path in (truncated, foreign))
    expected = recordings(converted[1])
    assert recordings(tmp_path / 'events') == {
        name: content for name, content in expected.items() if name not in
        (paths[1].with_suffix('.npy').as_posix(), paths[3].with_suffix('.npy').as_posix())}


def test_brightness_is_that_of_the_image(tool, tmp_path):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name, image, expected in (
            ('gray.png', Image.fromarray(gray), gray / 255),
            ('deep.png', Image.fromarray(gray.astype(np.uint16) * 257), gray / 255),
            ('color.png', Image.fromarray(np.stack([gray] * 3, -1)), gray / 255),
            ('bits.png', Image.fromarray(gray > 99), gray > 99)):
        image.save(tmp_path / name)
        np.testing.assert_allclose(tool.read_image(tmp_path / name), expected, atol=1e-6)
    turned = Image.fromarray(gray)
    turned.getexif()[274] = 6  # to be turned by 90 degrees, as phones write it
    turned.save(tmp_path / 'turned.png', exif=turned.getexif())
    np.testing.assert_allclose(tool.read_image(tmp_path / 'turned.png'), np.rot90(gray, -1) / 255)


@pytest.mark.parametrize('shape, expected', [((28, 28), (28, 28)), ((7, 14), (14, 28)), ((300, 100), (28, 9)),
                                             ((1, 1000), (1, 28))])
def test_images_keep_their_aspect(tool, shape, expected):
    assert tool.fit(np.ones(shape), 28, 28).shape == expected
    assert tool.fit(np.ones(shape), 28.5, 28.5).shape == expected


def test_images_that_would_become_one_recording_are_named(tool, tmp_path):
    for name in ('a.png', 'a.jpg'):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png would both become .*a\.npy'):
        tool.find_images(tmp_path, tmp_path / 'dst')


def test_a_folder_without_images_is_named(tool, tmp_path):
    (tmp_path / '.hidden').mkdir()
    (tmp_path / '.hidden' / 'a.png').touch()
    with pytest.raises(FileNotFoundError, match='there are no images'):
        tool.find_images(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match='there is no folder .*none'):
        tool.find_images(tmp_path / 'none', tmp_path)


@pytest.mark.parametrize('option, value', [('--threshold', '0'), ('--amplitude', '50'), ('--workers', '0')])
def test_bad_options_are_named_before_anything_is_written(convert, converted, tmp_path, option, value):
    error, _ = convert(converted[0], tmp_path / 'events', option, value)
    assert option.strip('-') in error or 'do not fit a sensor' in error
    assert not (tmp_path / 'events').exists()
