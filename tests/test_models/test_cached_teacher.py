"""The files of a teacher's cache: what comes back is what was put in, or the teacher is asked again."""
import multiprocessing
import os
import random
import shutil
import signal
from collections import namedtuple

import numpy as np
import pytest
import torch

from bkdsnn.checkpoints import hub
from bkdsnn.models.layers import channels_last, mark_time
from bkdsnn.models.teachers.cache import files
from bkdsnn.models.teachers.cache.files import CLAIM, RECORDS, CacheFiles, Claim
from bkdsnn.models.teachers.cache.taps import StoredTap
from bkdsnn.models.teachers.identity import identity_of
from bkdsnn.registry import MODELS
from helpers import logged_by, tiny_cnn, tiny_student

B = 5
FEATURES = {
    'maps': torch.randn(B, 3, 4, 4), 'channels last': channels_last(torch.randn(B, 3, 4, 4)),
    'tokens': torch.randn(B, 7, 6).transpose(1, 2), 'logits': torch.randn(B, 10),
    'over time': mark_time(torch.randn(2, B, 3, 4, 4), True),
    'expanded over time': mark_time(torch.randn(1, B, 6).expand(3, B, 6), True)}


def tap_of(feature, dtype='float32', top_k=None):
    has_time = getattr(feature, 'has_time', False)
    return StoredTap.of('layer', mark_time(feature.narrow(int(has_time), 0, 1), has_time), dtype, top_k)


@pytest.mark.parametrize('name', FEATURES)
def test_features_come_back_bit_for_bit_in_the_same_order_of_memory(name):
    feature = FEATURES[name]
    tap = tap_of(feature)
    content, order = tap.pack(feature, B)
    back = tap.unpack(content, B, order)
    assert content.nbytes == B * tap.sample_bytes and torch.equal(back, feature)
    assert back.has_time is getattr(feature, 'has_time', False)
    if 'expanded' not in name:
        assert back.stride() == feature.stride()


def test_half_precision_rounds_and_refuses_what_it_does_not_hold():
    feature = torch.randn(B, 6)
    tap = tap_of(feature, 'float16')
    assert torch.equal(tap.unpack(*reordered(tap.pack(feature, B))), feature.half().float())
    with pytest.raises(ValueError, match="up to 70000, which float16 does not hold. Set .*dtype='float32'"):
        tap.pack(torch.full((B, 6), 7e4), B)


def reordered(packed):
    return packed[0], B, packed[1]


@pytest.mark.parametrize('shape', [(B, 10), (2, B, 10)])
def test_of_the_largest_logits_the_probabilities_stay(shape):
    logits = mark_time(4 * torch.randn(shape), len(shape) == 3)
    tap = tap_of(logits, top_k=3)
    back = tap.unpack(*reordered(tap.pack(logits, B)))
    kept = logits >= logits.topk(3).values[..., -1:]
    assert torch.equal(back[kept], logits[kept]) and tap.sample_bytes == 28 * len(shape) - 28
    torch.testing.assert_close(back.softmax(-1)[kept], logits.softmax(-1)[kept])
    assert all(len(set(row[~k].tolist())) == 1 for row, k in zip(back.view(-1, 10), kept.view(-1, 10)))
    with pytest.raises(ValueError, match='top_k=10 must be less than the 10 logits'):
        tap_of(logits, top_k=10)


def test_another_shape_than_the_caches_is_an_error():
    tap = tap_of(FEATURES['maps'])
    with pytest.raises(ValueError, match=r"gives \(5, 3, 2, 2\) in torch.float32 at 'layer', but .* \(5, 3, 4, 4\)"):
        tap.pack(torch.zeros(B, 3, 2, 2), B)


# ---- files ----

CLAIMED = Claim(dict(teacher='a'), (StoredTap('layer', (50, ), False), StoredTap('fc', (4, ), False)), 3, 2, 4, B)


def contents_of(number):
    """What is put at the place of a batch."""
    return [np.full(B * tap.sample_bytes, number + i, np.uint8) for i, tap in enumerate(CLAIMED.taps)]


def fill(folder, batches=range(CLAIMED.batches)):
    cache = CacheFiles.create(folder, CLAIMED)
    for number in batches:
        if not cache.done[number]:
            cache.write(number, contents_of(number), 7, B, [0, 0])
    return cache


def check(cache, batches):
    """Hold the batches that are said to be there to what was put in."""
    for number in batches:
        record, contents = cache.read(number)
        assert record['batch'] == 7 and record['samples'] == B
        assert all(np.array_equal(a, b) for a, b in zip(contents, contents_of(number)))


def fill_and_die(folder, writes):
    """Fill a cache, and end in the midst of a write; of none, before the claim is written."""
    write, left = os.pwrite, [writes]

    def write_half(file, content, offset):
        left[0] -= 1
        if left[0] == 0:
            write(file, content[:len(content) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return write(file, content, offset)

    os.pwrite = write_half
    if writes == 0:
        files.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    fill(folder)


def test_a_killed_writer_leaves_batches_that_are_whole_or_missing(tmp_path):
    generator, folder, killed = random.Random(0), tmp_path / 'cache', 0
    for writes in [0, *(generator.randint(1, 3 * CLAIMED.batches // 4) for _ in range(9))]:
        writer = multiprocessing.get_context('fork').Process(target=fill_and_die, args=(folder, writes))
        writer.start()
        writer.join()
        killed += writer.exitcode == -signal.SIGKILL
        if (folder / CLAIM).exists():
            cache = CacheFiles(folder)
            check(cache, np.flatnonzero(cache.done))
    cache = fill(folder)
    assert killed >= 5 and cache.done.all()
    check(CacheFiles(folder), range(CLAIMED.batches))


def test_a_batch_that_is_not_what_was_written_is_found_once(tmp_path):
    cache = fill(tmp_path / 'cache')
    path = next((tmp_path / 'cache').glob('0-*.tap'))
    with open(path, 'r+b') as file:
        file.seek(CLAIMED.batch_bytes(CLAIMED.taps[0]) * 3)
        file.write(b'\xff')
    again = CacheFiles(tmp_path / 'cache')
    with pytest.raises(ValueError, match='wrong check sum of batch 3'):
        again.read(3)
    check(again, [2, 4])
    again.write(3, contents_of(3), 7, B, [0, 0])
    check(CacheFiles(tmp_path / 'cache'), range(CLAIMED.batches))
    assert cache.stored_bytes <= 2 * cache.claim.total_bytes + 3 * 4096


@pytest.mark.parametrize('name, damage, words', [
    (RECORDS, lambda path: os.truncate(path, 5), f'{RECORDS} has 5 bytes, but a file of 576 bytes is claimed'),
    ('0-layer.tap', os.remove, '0-layer.tap is missing'),
    ('1-fc.tap', lambda path: path.write_bytes(b'x'), '1-fc.tap has 1 bytes'),
    (CLAIM, lambda path: path.write_text('{}'), f'{CLAIM} is damaged or no file of a teacher cache'),
    (CLAIM, lambda path: path.write_text('not json'), f'{CLAIM} is damaged or no file'),
    (CLAIM, lambda path: path.write_text('[]'), f'{CLAIM} is damaged or no file')])
def test_files_that_are_cut_off_or_foreign_are_named(tmp_path, name, damage, words):
    fill(tmp_path / 'cache', ())
    damage(tmp_path / 'cache' / name)
    with pytest.raises(ValueError, match=words) as error:
        CacheFiles(tmp_path / 'cache')
    assert 'Remove' in str(error.value)


def test_a_disk_without_room_is_found_before_and_a_full_one_is_named(tmp_path, monkeypatch):
    free = namedtuple('usage', 'free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: free(1000))
    with pytest.raises(ValueError, match=r"0\.00 GB are needed for 3 epochs, but in .* A sample takes layer 0\.2 kB"):
        CacheFiles.create(tmp_path / 'cache', CLAIMED)
    monkeypatch.undo()
    cache = CacheFiles.create(tmp_path / 'cache', CLAIMED)

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'pwrite', full)
    with pytest.raises(OSError, match='0-layer.tap'):
        cache.write(0, contents_of(0), 7, B, [0, 0])
    assert not cache.done.any()


def test_a_disk_that_cannot_be_written_is_named_with_a_way_out(tmp_path, monkeypatch):
    whole = complete(tmp_path)

    def read_only(self, *_, **__):
        raise OSError(30, 'Read-only file system', str(self))

    monkeypatch.setattr('pathlib.Path.mkdir', read_only)
    with pytest.raises(OSError, match='can only be read .errno 30.. Choose another model.teacher_cache.folder'):
        opened(tmp_path / 'other')
    assert opened(tmp_path).teacher_cache.is_complete and whole.teacher_cache.is_complete  # which needs no writing


# ---- the cache of a distiller ----

def distiller(folder, losses=None, teacher=None, **cache):
    return MODELS.build(dict(
        type='Distiller', student=tiny_student(), input_shape=(1, 8, 8),
        teacher=teacher or dict(type='FrozenTeacher', model=tiny_cnn()), taps=dict(teacher=dict(logits='fc')),
        losses=losses or dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0)),
        teacher_cache=dict(dict(folder=str(folder)), **cache)))


def opened(folder, **arguments):
    """A distiller whose cache is open, for two epochs of one step with two samples."""
    torch.manual_seed(0)
    model = distiller(folder, **arguments)
    model.teacher_cache.open(dict(seed=0), 2, 1, 1, 2)
    return model


@pytest.mark.parametrize('cache, words', [
    (dict(dtype='int8'), r"teacher_cache.dtype='int8' is unknown; choose from \['float32', 'float16'\]"),
    (dict(top_k=0), 'teacher_cache.top_k=0 must be a whole number'), (dict(top_k=10), 'must be less than the 10'),
    (dict(on_mismatch='ask'), "on_mismatch='ask' is unknown"),
    (dict(top_k=2, losses=dict(loss_at=dict(type='ATLoss', student='backbone.layer2', teacher='stage2'))),
     'no loss asks for the teacher')])
def test_impossible_arguments_are_named(tmp_path, cache, words):
    with pytest.raises(ValueError, match=words):
        distiller(tmp_path, **cache)


def test_a_cache_that_nothing_is_kept_for_is_an_error(tmp_path):
    for changes, words in ((dict(input_shape=None), 'model.input_shape'), (
            dict(teacher=None, losses=dict(loss_cls=dict(type='TETLoss'))), 'model.teacher_cache keeps what')):
        with pytest.raises(ValueError, match=words):
            MODELS.build(dict(dict(type='Distiller', student=tiny_student(), input_shape=(1, 8, 8),
                                   teacher=dict(type='FrozenTeacher', model=tiny_cnn()),
                                   taps=dict(teacher=dict(logits='fc')), teacher_cache=dict(folder=str(tmp_path)),
                                   losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0))),
                              **changes))


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_a_teacher_is_asked_once_and_what_it_said_is_given_again(tmp_path, dtype):
    model, images = opened(tmp_path, dtype=dtype), torch.randn(2, 1, 8, 8)
    said = model.teach(images)['fc']
    for _ in range(2):
        model.teacher_cache.go_to(1, 0, 0, 5)
        given = model.teach(images)['fc']
        assert torch.equal(given, said if dtype == 'float32' else said.half().float())
        assert not given.has_time and model.teacher_cache.has(1, 0, 0)
        model.teacher.network.fc.weight.data.zero_()
    model.teacher_cache.leave()
    assert not torch.equal(model.teach(images)['fc'], said)


def test_another_batch_in_its_place_is_an_error_and_a_damaged_one_is_asked_again(tmp_path, monkeypatch):
    from bkdsnn.models.teachers.cache import cache
    model, images = opened(tmp_path), torch.randn(2, 1, 8, 8)
    model.teacher_cache.go_to(0, 0, 0, 5)
    said = model.teach(images)['fc']
    model.teacher_cache.go_to(0, 0, 0, 6)
    with pytest.raises(ValueError, match='holds another batch than the one that was drawn in its place'):
        model.teach(images)
    path = next(tmp_path.glob('*/0-fc.tap'))
    path.write_bytes(bytes(path.stat().st_size))
    lines, model = logged_by(monkeypatch, cache), opened(tmp_path)
    model.teacher_cache.go_to(0, 0, 0, 5)
    assert torch.equal(model.teach(images)['fc'], said) and 'the teacher is asked again' in lines[-1]


def complete(folder, **arguments):
    model = opened(folder, **arguments)
    for epoch in range(2):
        model.teacher_cache.go_to(epoch, 0, 0, 5)
        model.teach(torch.ones(2, 1, 8, 8))
    model.teacher_cache.leave()
    return model


def test_of_a_complete_cache_the_teacher_is_not_built_and_what_is_drawn_after_it_stays(tmp_path):
    """A teacher draws random weights before it loads its own, and the parts of losses are drawn next."""
    losses = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=0.1))
    teacher = dict(type='FrozenTeacher', model='helpers:tiny_cnn', checkpoint=str(tmp_path / 'cnn.pth'))
    torch.save(tiny_cnn().state_dict(), tmp_path / 'cnn.pth')
    models = [complete(tmp_path / 'cache', losses=losses, teacher=teacher) for _ in range(2)]
    assert [model.teacher_is_built for model in models] == [True, False]
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters()))
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(models[1].teach(images)['stage2'], models[0].teach(images)['stage2'])
    assert models[1].teacher_is_built


def test_what_differs_is_named_and_another_cache_is_filled_beside(tmp_path, monkeypatch):
    from bkdsnn.models.teachers.cache import cache
    lines, first = logged_by(monkeypatch, cache), complete(tmp_path)
    more = dict(loss_at=dict(type='ATLoss', student='backbone.layer2', teacher='stage2'),
                loss_kd=dict(type='LogitsKDLoss', tau=2.0))
    other = dict(type='FrozenTeacher', model=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)))
    for changes, words in ((dict(dtype='float16'), 'what is kept was'), (dict(losses=more), "path='stage2'"),
                           (dict(teacher=other, losses=dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0, teacher='1'))),
                            'teacher.weights was')):
        lines.clear()
        opened(tmp_path, **changes)
        assert 'does not fit this run' in lines[0] and words in lines[0], lines
        with pytest.raises(ValueError, match='does not fit this run: .* Change it back, set'):
            shutil.rmtree(next(path.parent for path in tmp_path.glob(f'*/{CLAIM}')
                               if path.parent != first.teacher_cache.files.folder))
            opened(tmp_path, on_mismatch='raise', **changes)
    assert first.teacher_cache.is_complete


def test_identity_of_a_teacher_tells_what_changes_what_it_says(tmp_path, monkeypatch):
    torch.save(tiny_cnn().state_dict(), tmp_path / 'cnn.pth')
    cfg = dict(type='FrozenTeacher', model='helpers:tiny_cnn', checkpoint=str(tmp_path / 'cnn.pth'))
    known = identity_of(cfg)
    assert identity_of(dict(cfg, expected_accuracy=90.0)) == known != identity_of(dict(cfg, input_size=16))
    shutil.copy(tmp_path / 'cnn.pth', tmp_path / 'copy.pth')
    assert identity_of(dict(cfg, checkpoint=str(tmp_path / 'copy.pth'))) == known
    torch.save(tiny_cnn().state_dict(), tmp_path / 'cnn.pth')
    assert identity_of(cfg) != known
    pair = dict(type='TeacherEnsemble', teachers=dict(a=cfg, b=dict(cfg, input_size=16)))
    assert set(identity_of(pair)) == {'model.teacher.teachers.a', 'model.teacher.teachers.b'}
    monkeypatch.setattr(hub, 'download', lambda name: str(tmp_path / 'copy.pth') if name == 'hf://me/net' else None)
    assert identity_of(dict(cfg, checkpoint='hf://me/net')) == known
    with pytest.raises(FileNotFoundError, match="checkpoint 'gone.pth' does not exist"):
        identity_of(dict(cfg, checkpoint='gone.pth'))
    zoo = dict(type='FrozenTeacher', model='timm/resnet18', checkpoint='pretrained')
    assert identity_of(zoo)['weights'].startswith('pretrained, of timm ')
