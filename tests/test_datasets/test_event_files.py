"""Files of events: what is read from intact, empty, damaged and foreign ones."""
import os
import re

import numpy as np
import pytest

from bkdsnn.datasets import event_files
from bkdsnn.datasets.event_files import EXTENSIONS, read_events, write_events
from generated_events import generate_events, write_aedat4, write_bin

PACKET = 16


def write_npy(path, events):
    np.save(path, events)


def write_any_bin(path, events):
    write_bin(path, np.array(events))


WRITERS = {'.aedat4': lambda path, events: write_aedat4(path, events, packet=PACKET), '.npy': write_npy,
           '.bin': write_any_bin}


@pytest.fixture
def aedat4(tmp_path):
    """Path and content of a small file of three packets, and its events."""
    events = generate_events(3 * PACKET - 5)
    write_aedat4(tmp_path / 'a.aedat4', events, packet=PACKET)
    return tmp_path / 'a.aedat4', (tmp_path / 'a.aedat4').read_bytes(), events


@pytest.mark.parametrize('number', [0, 1, 100])
@pytest.mark.parametrize('extension', EXTENSIONS)
def test_events_are_those_of_the_file(tmp_path, extension, number):
    events = generate_events(number, duration=300000)
    WRITERS[extension](tmp_path / f'a{extension}', events)
    for path in (tmp_path / f'a{extension}', str(tmp_path / f'a{extension}')):
        read = read_events(path)
        assert read.dtype.names == ('x', 'y', 't', 'p')
        assert all(read.dtype[name] == np.int64 for name in read.dtype.names)
        assert read.tolist() == events.tolist()


def test_fields_of_npy_are_found_by_name(tmp_path):
    events = generate_events(20)
    stored = np.zeros(20, [('p', bool), ('t', np.uint32), ('more', float), ('y', np.uint8), ('x', np.int16)])
    for name in events.dtype.names:
        stored[name] = events[name]
    np.save(tmp_path / 'a.npy', stored)
    assert read_events(tmp_path / 'a.npy').tolist() == events.tolist()


def test_written_events_are_read_again(tmp_path):
    events = generate_events(50)
    small = events.astype([('x', np.int16), ('y', np.int16), ('t', np.int64), ('p', np.int8)])
    write_events(tmp_path / 'a.npy', small)
    assert read_events(tmp_path / 'a.npy').tolist() == events.tolist()
    assert os.listdir(tmp_path) == ['a.npy']


def test_an_interrupted_write_keeps_what_was_there(tmp_path, monkeypatch):
    write_events(tmp_path / 'a.npy', generate_events(5))

    def die(file, events):
        file.write(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(event_files.np, 'save', die)
    with pytest.raises(KeyboardInterrupt):
        write_events(tmp_path / 'a.npy', generate_events(6))
    assert len(read_events(tmp_path / 'a.npy')) == 5
    assert os.listdir(tmp_path) == ['a.npy']


def test_what_is_written_is_checked(tmp_path):
    with pytest.raises(ValueError, match=r'a.bin has the extension \'.bin\', but events are written as .npy'):
        write_events(tmp_path / 'a.bin', generate_events(1))
    with pytest.raises(ValueError, match=r'array \(3, 4\) of float64 is no structured array'):
        write_events(tmp_path / 'a.npy', np.zeros((3, 4)))
    assert not os.listdir(tmp_path)


def test_aedat4_cut_off_anywhere_is_an_error_or_ends_between_packets(aedat4):
    path, content, events = aedat4
    prefixes = set()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            read = read_events(path)
        except OSError as error:
            assert str(error).startswith(f'{path} cannot be read as AEDAT4: ')
        else:
            assert read.tolist() == events[:len(read)].tolist()
            prefixes.add(len(read))
    assert prefixes == {0, PACKET, 2 * PACKET}


@pytest.mark.parametrize('extension', ['.npy', '.bin'])
def test_others_cut_off_anywhere_are_an_error_or_end_between_events(tmp_path, extension):
    path, events = tmp_path / f'a{extension}', generate_events(3, duration=300000)
    WRITERS[extension](path, events)
    content, prefixes = path.read_bytes(), set()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            read = read_events(path)
        except OSError as error:
            assert str(path) in str(error)
        else:
            assert read.tolist() == events[:len(read)].tolist()
            prefixes.add(len(read))
    assert prefixes == ({0, 1, 2} if extension == '.bin' else set())


def test_damaged_header_of_aedat4_is_an_error_or_harmless(aedat4):
    # Bytes of which aedat would make a panic or, in the description, the end of the process.
    path, content, events = aedat4
    end_of_header = content.index(b'</dv>') + 6
    for position in range(14, end_of_header, 7):
        for value in (0, 239, content[position] ^ 128):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1:])
            try:
                assert read_events(path).tolist() == events.tolist()
            except OSError as error:
                assert str(error).startswith(f'{path} cannot be read as AEDAT4: ')


def test_aedat4_without_an_event_stream_is_no_empty_recording(aedat4):
    path, content, _ = aedat4
    path.write_bytes(content[:content.index(b'</dv>') + 7].replace(b'EVTS', b'IMUS'))
    with pytest.raises(OSError, match='there are no events in the AEDAT file'):
        read_events(path)


@pytest.mark.parametrize('content', [b'', b'#!AER-DAT2.0\r\n' + bytes(64), b'\x89PNG\r\n' + bytes(64), b'PK\x03\x04'],
                         ids=['empty', 'AEDAT2', 'PNG', 'zip'])
@pytest.mark.parametrize('extension', ['.aedat4', '.npy'])
def test_foreign_files_are_named(tmp_path, extension, content):
    path = tmp_path / f'foreign{extension}'
    path.write_bytes(content)
    with pytest.raises(OSError, match=re.escape(f'{path} cannot be read as ')):
        read_events(path)


@pytest.mark.parametrize('shape, dtype', [((7, 4), np.int64), (7, np.int64), ((2, 2), [(n, int) for n in 'xytp']),
                                          (7, [(n, int) for n in 'xyt']), (7, [(n, float) for n in 'xytp'])],
                         ids=['rows', 'numbers', 'plane', 'no polarity', 'floats'])
def test_npy_without_the_fields_says_what_is_expected(tmp_path, shape, dtype):
    np.save(tmp_path / 'a.npy', np.zeros(shape, dtype))
    with pytest.raises(OSError, match=r'a\.npy cannot be read as a NumPy array: an array \(.*\) of .* is no structured '
                                      r'array \(N,\) with the integer fields x, y, t \(microseconds\) and p\.'):
        read_events(tmp_path / 'a.npy')


def test_npy_runs_no_code(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([dict(x=1)], object), allow_pickle=True)
    with pytest.raises(OSError, match='a.npy cannot be read as a NumPy array: Object arrays cannot be loaded'):
        read_events(tmp_path / 'a.npy')


def test_bin_with_bytes_left_over_says_so(tmp_path):
    (tmp_path / 'a.bin').write_bytes(bytes(12))
    with pytest.raises(OSError, match='a.bin cannot be read as N-MNIST: its 12 bytes are no multiple of the 5'):
        read_events(tmp_path / 'a.bin')


def test_missing_files_and_unknown_extensions_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.npy does not exist'):
        read_events(tmp_path / 'none.npy')
    with pytest.raises(ValueError, match=r"a\.mat has the extension '\.mat', .* \.aedat4, \.npy, \.bin"):
        read_events(tmp_path / 'a.mat')
