"""Archives are found, checked and unpacked once."""
import hashlib
import io
import multiprocessing
import tarfile
import zipfile

import pytest

from bkdsnn.datasets import archives
from bkdsnn.datasets.archives import Archive, unpack_once


def zip_of(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        for name, data in files.items():
            file.writestr(name, data)
    return content.getvalue()


def tar_of(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode='w:gz') as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return content.getvalue()


def place(folder, content, name='Set.zip'):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return Archive('set.zip', 'https://example.org/set.zip', hashlib.md5(content).hexdigest())


def unpack(archive, folder):
    return unpack_once(archive, str(folder), lambda: (folder / 'cat').is_dir())


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()
            and not path.name.startswith('.') and path.suffix != '.zip'}


@pytest.mark.parametrize('pack', [zip_of, tar_of])
def test_archive_is_unpacked_once(tmp_path, pack, monkeypatch):
    archive = place(tmp_path, pack({'cat/1.bin': b'one', 'dog/2.bin': b'two'}))
    assert unpack(archive, tmp_path)
    assert files_in(tmp_path) == {'cat/1.bin': b'one', 'dog/2.bin': b'two'}
    monkeypatch.setattr(archives, '_unpack_all', None)
    assert unpack(archive, tmp_path)


def test_zips_inside_are_unpacked_and_shadows_are_dropped(tmp_path):
    inner = zip_of({'cat/1.bin': b'one'})
    archive = place(tmp_path, zip_of({'cat.zip': inner, 'more/dog.zip': inner, '__MACOSX/cat/._1.bin': b'',
                                      '__MACOSX/._cat.zip': b'no archive'}))
    unpack(archive, tmp_path)
    assert files_in(tmp_path) == {'cat/1.bin': b'one', 'more/cat/1.bin': b'one'}


def test_without_archive_there_is_nothing_to_do(tmp_path):
    archive = Archive('set.zip', '', '')
    assert not unpack(archive, tmp_path) and not unpack(archive, tmp_path / 'nothing')


def test_wrong_checksum_is_named_and_nothing_is_unpacked(tmp_path):
    archive = place(tmp_path, zip_of({'cat/1.bin': b'one'}))
    (tmp_path / 'Set.zip').write_bytes(b'half a download')
    with pytest.raises(ValueError, match=f'Set.zip has the MD5 .* and not {archive.md5}'):
        unpack(archive, tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize('content', [b'no archive', tar_of({'cat/1.bin': bytes(9999)})[:60]], ids=['text', 'cut'])
def test_what_is_no_archive_is_named(tmp_path, content):
    archive = place(tmp_path, content)
    with pytest.raises(ValueError, match='(?s)Set.zip cannot be unpacked.*https://example.org'):
        unpack(archive, tmp_path)
    assert not (tmp_path / 'cat').exists()


def test_interrupted_unpacking_is_done_anew(tmp_path, monkeypatch):
    archive = place(tmp_path, zip_of({'cat/1.bin': b'one', 'dog/2.bin': b'two'}))
    unpack_all = archives._unpack_all

    def interrupted(path, folder):
        (folder / 'cat').mkdir()
        (folder / 'cat' / '1.bin').write_bytes(b'o')
        raise KeyboardInterrupt
    monkeypatch.setattr(archives, '_unpack_all', interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path)
    assert not (tmp_path / 'cat').exists()
    (tmp_path / 'cat').mkdir()  # as if the first folder had been moved to its place
    monkeypatch.setattr(archives, '_unpack_all', unpack_all)
    unpack(archive, tmp_path)
    assert files_in(tmp_path) == {'cat/1.bin': b'one', 'dog/2.bin': b'two'}


@pytest.mark.parametrize('has_filters', [True, False])
def test_archive_cannot_write_elsewhere(tmp_path, monkeypatch, has_filters):
    if not has_filters:
        monkeypatch.setattr(archives, 'FILTER', {})
    archive = place(tmp_path / 'data', tar_of({'../evil': b'', 'cat/1.bin': b''}))
    with pytest.raises(ValueError, match='cannot be unpacked'):
        unpack(archive, tmp_path / 'data')
    assert not (tmp_path / 'evil').exists()


def test_of_several_processes_one_unpacks(tmp_path):
    archive = place(tmp_path, zip_of({f'cat/{i}.bin': b'one' for i in range(200)}))
    with multiprocessing.get_context('fork').Pool(4) as pool:
        assert pool.starmap(unpack, [(archive, tmp_path)] * 4) == [True] * 4
    assert len(files_in(tmp_path)) == 200
