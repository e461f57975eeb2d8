"""Images and recordings that are damaged or stored in another way, and what is said of them."""
import cv2
import numpy as np
from generated_data import write_class_folders

from bkdsnn.datasets import ImageFolder
from generated_events import generate_events

SIZE = (20, 20, 2)
# Of a recording of ``NUMBER`` events every ``STEP`` microseconds, at which of them a clock turns.
TURN, STEP, NUMBER = 100, 1000, 300
LOAD, PACK = dict(type='mmpretrain.LoadImageFromFile'), dict(type='mmpretrain.PackInputs')
RNG = np.random.default_rng(0)


def images(root, train=6, **options):
    write_class_folders(root, ('a', 'b'), train, 0, (20, 16))
    return ImageFolder(str(root), 'train', **{**dict(pipeline=[LOAD, PACK]), **options})


def jpeg_cut_off(path):
    noise = RNG.integers(0, 255, (64, 64, 3), np.uint8)
    path.write_bytes(cv2.imencode('.jpg', noise)[1].tobytes()[:-400])  # of which OpenCV may make up the rest


def in_bits(bits, suffix='.png'):
    values = RNG.integers(0, 2**bits, (8, 8)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return cv2.imencode(suffix, values)[1].tobytes()


BROKEN = {
    'empty': (lambda path: path.write_bytes(b''), 'it is empty'),
    'text': (lambda path: path.write_text('no image'), 'it is of no known format'),
    'cut off': (jpeg_cut_off, 'truncated'),
    'missing': (lambda path: path.unlink(), 'No such file'),
    '12 bits': (lambda path: path.write_bytes(in_bits(12)), 'up to 4095, use the lower 12 alone; decoded to 8 bits they'
                                                            ' would be 0 to 15'),
    'floats': (lambda path: path.write_bytes(cv2.imencode('.tif', np.ones((4, 4), np.float32))[1].tobytes()),
               'pixels of float32')}


def recording(disorder=0):
    """Events every millisecond; around event ``TURN`` some have changed places."""
    events = generate_events(NUMBER, size=SIZE[:2])
    events['t'] = np.arange(NUMBER) * STEP
    part = slice(TURN - disorder, TURN + disorder)
    events[part] = events[part][np.random.default_rng(0).permutation(2 * disorder)]
    return events


def rows(order, seconds=False, signed=False):
    events = recording()
    columns = {name: events[name] for name in 'xytp'}
    columns['t'] = columns['t'] / 1e6 if seconds else columns['t']
    columns['p'] = columns['p'] * 2 - 1 if signed else columns['p']
    return [columns[name] for name in order]


def structured(names, **how):
    return np.array(np.rec.fromarrays(rows('xytp', **how), names=names))


OTHERS = {
    'rows': np.stack(rows('xytp'), 1), 'rows of DVS Gesture': np.stack(rows('xypt'), 1).astype(np.float32),
    'columns': np.stack(rows('txyp')), 'rows in seconds': np.stack(rows('txyp', seconds=True), 1),
    'rows with signs': np.stack(rows('xytp', signed=True), 1),
    'rows in seconds with signs': np.stack(rows('xytp', seconds=True, signed=True), 1),
    'seconds': structured('x,y,t,p', seconds=True), 'signs': structured('x,y,t,p', signed=True),
    'other names': structured('x,y,timestamp,polarity'),
    'all of it': structured('X,Y,ts,pol', seconds=True, signed=True)}
