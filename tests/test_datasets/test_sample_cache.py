"""The cache of samples: what is valid, what is made anew, and what several processes do to it."""
import importlib
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mmcv.transforms import BaseTransform

from bkdsnn.datasets import sample_cache
from bkdsnn.datasets.cached_pipeline import text_of
from bkdsnn.datasets.sample_cache import SampleCache
from bkdsnn.registry import TRANSFORMS
from helpers import logged_by

FRAMES = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)


class Maker:
    """Counts how often frames are made."""

    def __init__(self, frames=FRAMES):
        self.frames, self.calls = frames, 0

    def __call__(self):
        self.calls += 1
        return self.frames


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / 'data' / 'cat' / '1.npy'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'events')
    return path


@pytest.fixture
def told(monkeypatch):
    return logged_by(monkeypatch, sample_cache)


def cache_in(tmp_path, source='Set', framing='EventsToFrames(time_steps=2)'):
    return SampleCache(str(tmp_path / 'cache'), source, framing)


def entry_of(cache):
    (entry, ) = cache.folder.iterdir()
    return entry


def test_frames_are_made_once(tmp_path, recording):
    make = Maker()
    for _ in range(3):
        frames = cache_in(tmp_path).get('cat/1.npy', str(recording), make)
        np.testing.assert_array_equal(frames, FRAMES)
        assert frames.dtype == FRAMES.dtype
    assert make.calls == 1
    cache = cache_in(tmp_path)
    assert cache.size() == (1, entry_of(cache).stat().st_size)


@settings(max_examples=50)
@given(st.sampled_from(['float32', 'float16', 'int16', 'uint8', 'int64', 'bool']).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, max_side=3, min_side=0))))
def test_what_is_read_is_what_was_made(tmp_path_factory, frames):
    cache = SampleCache(str(tmp_path_factory.mktemp('cache')), 'Set', 'framing')
    views = dict(student=frames, teacher=np.stack([frames] * 2))
    for name, made in (('one', frames), ('two', views)):
        cache.get(name, None, Maker(made))
        read = cache.get(name, None, None)
        for got, want in zip(*((x.values() if isinstance(x, dict) else [x]) for x in (read, made))):
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype


def test_counts_take_one_byte(tmp_path):
    cache = cache_in(tmp_path)
    cache.get('a', None, Maker(np.full((16, 2, 32, 32), 255, np.float32)))
    assert cache.size()[1] < 16 * 2 * 32 * 32 + 2000


@pytest.mark.parametrize('other', [dict(source='Other'), dict(framing='EventsToFrames(time_steps=3)')])
def test_other_source_or_framing_has_its_own_entries(tmp_path, recording, other):
    make = Maker()
    cache_in(tmp_path).get('cat/1.npy', str(recording), make)
    cache_in(tmp_path, **other).get('cat/1.npy', str(recording), make)
    assert make.calls == 2


def test_other_code_of_a_transform_of_ones_own_has_its_own_entries(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    texts = {}
    for name, sign, note in (('first', '==', ''), ('same', '==', '  # a note'), ('other', '!=', '')):
        (tmp_path / f'{name}_code.py').write_text(f"""
class Keep:
    random = False

    def __repr__(self):
        return 'Keep()'

    def __call__(self, results):
        return results['p'] {sign} 1{note}
""")
        texts[name] = text_of(importlib.import_module(f'{name}_code').Keep())
    assert texts['first'] == texts['same'] != texts['other'] and texts['first'].startswith('Keep() of ')
    nested = {}
    for name in texts:
        step = TRANSFORMS.build(dict(type='TwoViews', student=dict(type='EventsToFrames', time_steps=2),
                                     teacher=dict(type='EventsToFrames', time_steps=4)))
        assert text_of(step) == repr(step)
        code = importlib.import_module(f'{name}_code')
        step.student = type('Own', (code.Keep, BaseTransform), dict(transform=None, __module__='mmcv'))()
        nested[name] = text_of(step)
    assert nested['first'] == nested['same'] != nested['other']
    typed = {}
    exec("class Typed:\n    def __repr__(self):\n        return 'Typed()'", typed)
    assert text_of(typed['Typed']()) == 'Typed()'
    step = TRANSFORMS.build(dict(type='EventsToFrames', time_steps=2))
    assert text_of(step) == repr(step)


def test_other_version_has_its_own_entries(tmp_path, recording, monkeypatch):
    make = Maker()
    cache_in(tmp_path).get('cat/1.npy', str(recording), make)
    monkeypatch.setattr(sample_cache, 'VERSION', sample_cache.VERSION + 1)
    cache_in(tmp_path).get('cat/1.npy', str(recording), make)
    assert make.calls == 2


def test_changed_recording_is_framed_anew(tmp_path, recording):
    cache = cache_in(tmp_path)
    cache.get('cat/1.npy', str(recording), Maker())
    recording.write_bytes(b'EVENTS')  # of the same size
    os.utime(recording, ns=(1, 1))
    make = Maker(FRAMES + 1)
    np.testing.assert_array_equal(cache.get('cat/1.npy', str(recording), make), FRAMES + 1)
    assert make.calls == 1


def test_touched_or_copied_recording_is_not_framed_anew(tmp_path, recording):
    cache, make = cache_in(tmp_path), Maker()
    cache.get('cat/1.npy', str(recording), make)
    copy = Path(shutil.copytree(tmp_path / 'data', tmp_path / 'copy')) / 'cat' / '1.npy'
    os.utime(copy, ns=(5, 5))
    for _ in range(2):
        np.testing.assert_array_equal(cache.get('cat/1.npy', str(copy), make), FRAMES)
    assert make.calls == 1


def test_rebuild_makes_frames_anew(tmp_path, recording):
    cache = cache_in(tmp_path)
    cache.get('cat/1.npy', str(recording), Maker())
    cache.get('cat/1.npy', str(recording), Maker(FRAMES + 1), rebuild=True)
    np.testing.assert_array_equal(cache.get('cat/1.npy', str(recording), Maker()), FRAMES + 1)


def test_entry_damaged_anywhere_is_told_and_made_anew(tmp_path, recording, told):
    cache = cache_in(tmp_path)
    cache.get('cat/1.npy', str(recording), Maker())
    entry = entry_of(cache)
    whole = entry.read_bytes()
    damages = [whole[:length] for length in range(0, len(whole), 7)] + [whole + b'more']
    damages += [whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1:] for i in range(0, len(whole), 5)]
    for content in damages:
        entry.write_bytes(content)
        told.clear()
        make = Maker()
        np.testing.assert_array_equal(cache.get('cat/1.npy', str(recording), make), FRAMES)
        assert make.calls == 1 == len(told) and str(entry) in told[0] and 'made anew' in told[0]


def test_foreign_entry_is_told_and_made_anew(tmp_path, recording, told):
    cache, make = cache_in(tmp_path), Maker()
    cache.get('cat/2.npy', str(recording), Maker(FRAMES + 1))
    os.rename(entry_of(cache), cache.folder / 'cat__1.npy.sample')
    np.testing.assert_array_equal(cache.get('cat/1.npy', str(recording), make), FRAMES)
    assert make.calls == 1 and "'cat/2.npy'" in told[0]


def test_nothing_is_left_where_writing_fails(tmp_path, recording, monkeypatch):
    def fail(file, *arguments):
        file.write(b'half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(sample_cache, '_dump', fail)
    cache = cache_in(tmp_path)
    with pytest.raises(OSError, match='(?s)cat__1.npy.sample cannot be written.*No space left.*cache_dir'):
        cache.get('cat/1.npy', str(recording), Maker())
    assert list(cache.folder.iterdir()) == []


def fill(folder, start):
    cache = SampleCache(folder, 'Set', 'framing')
    for i in [*range(start, 30), *range(start)]:
        frames = cache.get(f'{i}', None, Maker(FRAMES + i))
        assert (frames == FRAMES + i).all()


def test_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=fill, args=(str(tmp_path), start)) for start in (0, 1, 2, 15)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    cache = SampleCache(str(tmp_path), 'Set', 'framing')
    assert cache.size()[0] == 30 == len(list(cache.folder.iterdir()))
