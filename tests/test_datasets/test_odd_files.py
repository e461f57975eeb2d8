"""Damaged and odd files: named in one line, or skipped and counted where that is asked for."""
import io
import re

import cv2
import numpy as np
import pytest
from data_cases import BROKEN, LOAD, PACK, RNG, images, in_bits
from PIL import Image
from torch.utils.data import DataLoader

from bkdsnn.apis.readers import ImageReader
from bkdsnn.config.checks import check_config
from bkdsnn.datasets import EventFolder, cached_pipeline, image_files
from bkdsnn.datasets.event_files import write_events
from bkdsnn.datasets.image_files import decode_file
from generated_events import generate_events
from helpers import demo_config, logged_by


@pytest.mark.parametrize('cache_dir', [None, 'cache'])
@pytest.mark.parametrize('how', BROKEN)
def test_a_broken_training_image_names_its_file_in_one_line(how, cache_dir, tmp_path):
    dataset = images(tmp_path, cache_dir=cache_dir, lazy_init=True)
    dataset.full_init()
    path, (break_it, words) = tmp_path / 'train' / 'a' / 'IMG_0001.jpg', BROKEN[how]
    break_it(path)
    with pytest.raises(OSError, match=re.escape(words)) as error:
        dataset[1]
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    assert dataset[0] is not None


def test_a_transform_that_fails_names_the_file(tmp_path):
    dataset = images(tmp_path, pipeline=[LOAD, dict(type='mmpretrain.ResizeEdge', scale=0), PACK])
    with pytest.raises(ValueError, match=r'ImageFolder: .*train/a/IMG_0000.jpg: ResizeEdge: '):
        dataset[0]


# ---- skipped ----

@pytest.fixture
def told(monkeypatch):
    return logged_by(monkeypatch, cached_pipeline)


def events(root, number=6, **options):
    folder = root / 'train' / 'a'
    folder.mkdir(parents=True)
    for i in range(number):
        write_events(folder / f'{i}.npy', generate_events(20, i, (8, 8)))
    framing = [dict(type='EventsToFrames', time_steps=2), dict(type='PackEvents')]
    return EventFolder(str(root), 'train', (8, 8), pipeline=framing, **options)


@pytest.mark.parametrize('cache_dir', [None, 'cache'])
@pytest.mark.parametrize('make', [images, events])
def test_skipped_samples_are_replaced_and_counted_once_each(make, cache_dir, tmp_path, told):
    dataset = make(tmp_path, on_error='skip', cache_dir=cache_dir)
    files = sorted(path for path in (tmp_path / 'train' / 'a').iterdir())
    for path in files[1:3]:
        path.write_bytes(b'damaged')
    told.clear()
    np.random.seed(0)
    for _ in range(2):
        assert all(len(batch['data_samples']) == 2 for batch in DataLoader(dataset, 2, collate_fn=lambda samples: dict(
            data_samples=[sample['data_samples'] for sample in samples])))
    assert len(told) == 2 and dataset.skipped == {str(path) for path in files[1:3]}
    assert str(files[1]) in told[0] and '(1 of them so far' in told[0] and '(2 of them so far' in told[1]
    if cache_dir:  # also where the cache is filled ahead
        dataset.skipped.clear()
        for i in range(len(dataset)):
            dataset.fill(i, rebuild=True)
        assert len(dataset.skipped) == 2


@pytest.mark.parametrize('cache_dir', [None, 'cache'])
@pytest.mark.parametrize('make', [images, events])
def test_a_file_that_is_gone_is_skipped_or_named_with_a_cache_too(make, cache_dir, tmp_path, told):
    dataset = make(tmp_path, on_error='skip', cache_dir=cache_dir)
    gone = sorted((tmp_path / 'train' / 'a').iterdir())[1]
    gone.unlink()
    told.clear()
    assert dataset[1] is not None and dataset.skipped == {str(gone)} and str(gone) in told[0]
    dataset.on_error = 'raise'
    with pytest.raises(OSError, match=re.escape(str(gone))):
        dataset[1]


def test_an_impossible_event_is_skipped_too(tmp_path, told):
    dataset = events(tmp_path, on_error='skip')
    write_events(tmp_path / 'train' / 'a' / '0.npy', generate_events(20, 0, (99, 99)))
    assert dataset[0] is not None and 'outside 0 to 7' in told[0]


def test_too_many_in_a_row_are_no_few_damaged_files(tmp_path, told, monkeypatch):
    monkeypatch.setattr(cached_pipeline, 'MOST_IN_A_ROW', 5)
    dataset = images(tmp_path, on_error='skip', train=2)
    for path in tmp_path.rglob('*.jpg'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match=r"5 samples in a row cannot be read, which on_error='skip' is not for"):
        dataset[0]


def test_errors_of_transforms_are_not_skipped(tmp_path):
    dataset = images(tmp_path, on_error='skip', pipeline=[LOAD, dict(type='mmpretrain.ResizeEdge', scale=0), PACK])
    with pytest.raises(ValueError, match='ResizeEdge'):
        dataset[0]


def test_only_training_may_skip(tmp_path):
    with pytest.raises(ValueError, match=r"on_error='ignore' is unknown; choose from \['raise', 'skip'\]"):
        images(tmp_path, on_error='ignore')
    for split, allowed in (('train', True), ('val', False), ('test', False)):
        wrapped = dict(type='mmpretrain.KFoldDataset', dataset=dict(
            type='ImageFolder', data_root='x', split='val', on_error='skip', pipeline=[LOAD, PACK]))
        cfg = demo_config('plain', tmp_path, **{f'{split}_dataloader.dataset': dict(_delete_=True, **wrapped)})
        if allowed:
            check_config(cfg)
        else:
            with pytest.raises(ValueError, match=rf"{split}_dataloader.*.on_error='skip' must be.*'raise'"):
                check_config(cfg)


# ---- more than 8 bits, and images that lie on their side ----

@pytest.mark.parametrize('suffix', ['.png', '.tif', '.pgm'])
@pytest.mark.parametrize('bits, is_read', [(16, True), (15, True), (14, False), (12, False), (10, False), (8, False)])
def test_images_of_16_bits_are_read_where_they_use_them(suffix, bits, is_read, tmp_path):
    content = in_bits(bits, suffix)
    path = tmp_path / f'x{suffix}'
    path.write_bytes(content)
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if is_read:
        np.testing.assert_array_equal(decode_file(path, gray=True), values >> 8)
    else:
        with pytest.raises(OSError, match=rf'x{suffix} has 16 bits a channel, .* use the lower {bits} alone'):
            decode_file(path, gray=True)
    image_files.check_image(content, path, to_8_bits=False)


def test_black_images_and_opaque_ones_of_16_bits(tmp_path):
    black = np.zeros((4, 4), np.uint16)
    cv2.imwrite(str(tmp_path / 'black.png'), black)
    assert not decode_file(tmp_path / 'black.png', gray=True).any()
    dark = np.dstack([black + 100] * 3 + [black + 65535])
    cv2.imwrite(str(tmp_path / 'dark.png'), dark)
    with pytest.raises(OSError, match='up to 100, use the lower 7 alone'):
        decode_file(tmp_path / 'dark.png', gray=False)


def test_all_bits_are_left_to_pipelines_that_take_them(tmp_path):
    dataset = images(tmp_path, pipeline=[dict(LOAD, color_type='unchanged')])
    (tmp_path / 'train' / 'a' / 'IMG_0000.jpg').write_bytes(in_bits(12))
    assert dataset[0]['img'].max() == 4095


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('channels', [1, 3])
def test_a_pil_image_is_turned_upright_as_its_file_is(orientation, channels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'x.jpg'
    Image.fromarray(np.arange(6, dtype=np.uint8).repeat(8).reshape(3, 16).repeat(8, 0) * 40).save(path, exif=exif)
    reader = ImageReader(channels, False, None, print)
    from_file, from_pil = reader.read(path)['img'], reader.read(Image.open(path))['img']
    assert from_pil.shape == from_file.shape == ((24, 16) if orientation < 5 else (16, 24)) + (channels, )
    assert np.abs(from_pil.astype(int) - from_file).max() < 3  # two decoders


def test_what_follows_a_jpeg_does_no_harm(tmp_path):
    """Telephones append a video."""
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (16, 16, 3), np.uint8)).save(file, 'JPEG')
    (tmp_path / 'x.jpg').write_bytes(file.getvalue() + b'a video')
    assert decode_file(tmp_path / 'x.jpg', gray=False).shape == (16, 16, 3)
