"""Small recordings in the formats and folders of the published event data sets, so that their own readers read them."""
import struct
from pathlib import Path

import numpy as np

DTYPE = np.dtype([('x', np.int64), ('y', np.int64), ('t', np.int64), ('p', np.int64)])
CIFAR10 = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')

AEDAT4_DESCRIPTION = """<dv version="2.0">
  <node name="outInfo" path="/mainloop/Recorder/outInfo/">
    <node name="0" path="/mainloop/Recorder/outInfo/0/">
      <attr key="compression" type="string">NONE</attr>
      <attr key="typeIdentifier" type="string">EVTS</attr>
      <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
        <attr key="sizeX" type="int">{width}</attr>
        <attr key="sizeY" type="int">{height}</attr>
      </node>
    </node>
  </node>
</dv>
"""


def generate_events(number, seed=0, size=(128, 128), duration=1000000):
    """Random events, sorted by time, as a structured array."""
    rng = np.random.default_rng(seed)
    events = np.zeros(number, DTYPE)
    for name, limit in (('x', size[0]), ('y', size[1]), ('t', duration), ('p', 2)):
        events[name] = rng.integers(0, limit, number)
    events['t'].sort()
    return events


def write_aedat4(path, events, size=(128, 128), packet=64):
    """AEDAT 4.0, uncompressed: a header and packets, each a size-prefixed flatbuffer with one table."""
    description = AEDAT4_DESCRIPTION.format(width=size[0], height=size[1]).encode()
    # Table with three slots of which the third, the description, is used: vtable at 8, table at 20, string at 28.
    header = struct.pack('<I4s5H2xiII', 20, b'IOHE', 10, 8, 0, 0, 4, 12, 4, len(description)) + description + b'\0'
    content = b'#!AER-DAT4.0\r\n' + struct.pack('<I', len(header)) + header
    struct_type = np.dtype(dict(names=['t', 'x', 'y', 'p'], formats=['<i8', '<i2', '<i2', '?'], offsets=[0, 8, 10, 12],
                                itemsize=16))
    for start in range(0, len(events), packet):
        chunk = events[start:start + packet]
        elements = np.zeros(len(chunk), struct_type)
        for name in struct_type.names:
            elements[name] = chunk[name]
        # Table with one slot, the vector of events: vtable at 12, table at 20, vector at 28 and its elements at 32.
        body = struct.pack('<I4s3H2xiII', 16, b'EVTS', 6, 8, 4, 8, 4, len(chunk)) + elements.tobytes()
        content += struct.pack('<III', 0, len(body) + 4, len(body)) + body
    Path(path).write_bytes(content)


def write_cifar10_dvs(root, numbers=(*range(9), 999), number=200):
    """``CIFAR10DVS/airplane/cifar10_airplane_0.aedat4`` and so on; returns the events by path.

    Of the fixed split, recordings 0 to 8 are in the train part and 999 is in the test part.
    """
    written = {}
    for label, name in enumerate(CIFAR10):
        folder = Path(root) / 'CIFAR10DVS' / name
        folder.mkdir(parents=True)
        for i in reversed(numbers):
            path = folder / f'cifar10_{name}_{i}.aedat4'
            written[str(path)] = generate_events(number, seed=1000 * label + i)
            write_aedat4(path, written[str(path)])
    return written


def write_dvs_gesture(root, users=dict(Train=(1, 2, 10), Test=(24, )), number=200):
    """``DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy`` and so on; returns the events by path.

    The files hold rows of x, y, p and t in milliseconds; what is returned is in microseconds.
    """
    written = {}
    for split, numbers in users.items():
        for user in numbers:
            folder = Path(root) / 'DVSGesture' / f'ibmGesture{split}' / f'user{user:02d}_fluorescent'
            folder.mkdir(parents=True)
            for label in range(11):
                events = generate_events(number, seed=100 * user + label, duration=6000)
                np.save(folder / f'{label}.npy', np.stack([events[name] for name in 'xypt'], 1))
                events['t'] *= 1000
                written[str(folder / f'{label}.npy')] = events
    return written


def write_bin(path, events):
    """Five bytes per event: x, y, and 23 bits of time below one of polarity."""
    rows = np.stack([events['x'], events['y'], events['p'] << 7 | events['t'] >> 16, events['t'] >> 8 & 255,
                     events['t'] & 255], 1)
    path.write_bytes(rows.astype(np.uint8).tobytes())


def write_nmnist(root, per_class=2, number=100):
    """``NMNIST/Train/0/00000.bin`` and so on, five bytes per event; returns the events by path."""
    written = {}
    for split in ('Train', 'Test'):
        for label in range(10):
            folder = Path(root) / 'NMNIST' / split / str(label)
            folder.mkdir(parents=True)
            for i in range(per_class):
                events = generate_events(number, seed=100 * label + i, size=(34, 34), duration=300000)
                write_bin(folder / f'{i:05d}.bin', events)
                written[str(folder / f'{i:05d}.bin')] = events
    return written


def write_ncaltech101(root, classes=('BACKGROUND_Google', 'Faces_easy', 'ant', 'yin_yang'), numbers=(1, 2, 10),
                      number=100):
    """``NCALTECH101/Caltech101/ant/image_0001.bin`` and so on; returns the events by path.

    Recordings differ in size. As tonic's reader does, what is returned begins at 0 in x and y.
    """
    written = {}
    for label, name in enumerate(classes):
        folder = Path(root) / 'NCALTECH101' / 'Caltech101' / name
        folder.mkdir(parents=True)
        for i in numbers:
            events = generate_events(number, seed=100 * label + i, size=(100 + 10 * i, 180 - 10 * i), duration=300000)
            write_bin(folder / f'image_{i:04d}.bin', events)
            for axis in 'xy':
                events[axis] -= events[axis].min()
            written[str(folder / f'image_{i:04d}.bin')] = events
    return written


def write_shd(root, number=5):
    """``SHD/shd_train.h5`` and ``SHD/shd_test.h5``, as ``number`` spoken digits on a cochlea of 700 channels."""
    import h5py
    (Path(root) / 'SHD').mkdir()
    rng = np.random.default_rng(0)
    for split in ('train', 'test'):
        with h5py.File(Path(root) / 'SHD' / f'shd_{split}.h5', 'w') as file:
            lengths = rng.integers(20, 40, number)
            for name, values in (('times', [np.sort(rng.random(n)).astype(np.float16) for n in lengths]),
                                 ('units', [rng.integers(0, 700, n).astype(np.uint16) for n in lengths])):
                data = file.create_dataset(f'spikes/{name}', number, h5py.vlen_dtype(values[0].dtype))
                for i, value in enumerate(values):
                    data[i] = value
            file['labels'] = np.arange(number) % 20
            file['extra/keys'] = np.array([f'digit {i}'.encode() for i in range(20)])
            file['extra/speaker'] = np.zeros(number, int)


def write_asl_dvs(root, letters='ab', number=3):
    """``ASLDVS/a/a_0001.mat`` and so on: columns of time, place and polarity."""
    from scipy.io import savemat
    rng = np.random.default_rng(0)
    for letter in letters:
        folder = Path(root) / 'ASLDVS' / letter
        folder.mkdir(parents=True)
        for i in range(number):
            columns = dict(ts=np.sort(rng.integers(0, 100_000, (20, 1)), 0), x=rng.integers(0, 240, (20, 1)),
                           y=rng.integers(0, 180, (20, 1)), pol=rng.integers(0, 2, (20, 1)))
            savemat(folder / f'{letter}_{i + 1:04d}.mat', columns)


def write_ntidigits(root, spoken=('1', 'z', 'o')):
    """``NTIDIGITS18/n-tidigits.hdf5``: spoken digits on a cochlea of 64 channels."""
    import h5py
    (Path(root) / 'NTIDIGITS18').mkdir()
    rng = np.random.default_rng(0)
    with h5py.File(Path(root) / 'NTIDIGITS18' / 'n-tidigits.hdf5', 'w') as file:
        for split in ('train', 'test'):
            names = [f'man-ae-{i}-{digit}' for i, digit in enumerate(spoken)]
            file[f'{split}_labels'] = np.array([name.encode() for name in names])
            for name in names:
                file[f'{split}_addresses/{name}'] = rng.integers(0, 64, 30)
                file[f'{split}_timestamps/{name}'] = np.sort(rng.random(30))


def write_dvs_lip(root, words=('accused', 'young'), number=100):
    """``DVSLip/DVS-Lip/train/accused/0.npy`` and so on, structured arrays; returns the events by path."""
    written = {}
    for split in ('train', 'test'):
        for i, word in enumerate(words):
            folder = Path(root) / 'DVSLip' / 'DVS-Lip' / split / word
            folder.mkdir(parents=True)
            events = generate_events(number, seed=i)
            np.save(folder / '0.npy', events[['t', 'x', 'y', 'p']].astype(
                [('t', '<i4'), ('x', 'i1'), ('y', 'i1'), ('p', 'i1')]))
            written[str(folder / '0.npy')] = events
    return written
