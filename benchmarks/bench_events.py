"""How fast events become frames, against tonic, and an epoch of DigitsDVS: ``python benchmarks/bench_events.py``.

Both sides run in turn in one process, and their frames are compared before. The last line is a JSON object: ``speedup``
is tonic's median time over ours, ``speedup_min`` that of the minima. Page faults and the allocator make timings on
shared machines noisy; the settings in ``docs/events.md`` remove most of that.
"""
import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import tonic
import torch
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch.utils.data import DataLoader

from bkdsnn.datasets import DigitsDVS, EventFolder, events_to_frames

SENSOR, EVENTS, TIME_STEPS = (128, 128, 2), 200_000, 16
# As tonic's data sets have them: DVS128 Gesture, and AEDAT4 as in CIFAR10-DVS.
LAYOUTS = dict(gesture=[('x', np.int16), ('y', np.int16), ('p', bool), ('t', np.int64)],
               aedat4=[('t', np.uint64), ('x', np.uint16), ('y', np.uint16), ('p', bool)])
FRAMES = [dict(type='TwoViews', student=dict(type='EventsToFrames', time_steps=4),
               teacher=dict(type='EventsToFrames', time_steps=16))]
AUGMENT = [dict(type='RandomFrameFlip'), dict(type='RandomFrameRoll', max_shift=2),
           dict(type='RandomFrameRotate', max_degrees=15)]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=30, help='of framing')
    parser.add_argument('--epochs', type=int, default=5, help='of DigitsDVS, of each kind')
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2], help='numbers of workers to load them with')
    return parser.parse_args()


def random_events(dtype: list) -> np.ndarray:
    """A second of events all over the sensor."""
    rng = np.random.default_rng(0)
    events = np.zeros(EVENTS, dtype)
    for name, limit in (('x', SENSOR[0]), ('y', SENSOR[1]), ('p', 2)):
        events[name] = rng.integers(0, limit, EVENTS)
    events['t'] = np.sort(rng.integers(0, 1_000_000, EVENTS))
    return events


def bench_framing(layout: str, repeats: int) -> dict:
    """Ours and tonic's frames of one recording."""
    events = random_events(LAYOUTS[layout])
    functions = dict(ours=lambda: events_to_frames(events, SENSOR, TIME_STEPS, dtype='int16'),
                     tonic=lambda: tonic.transforms.ToFrame(SENSOR, n_event_bins=TIME_STEPS)(events))
    if not np.array_equal(*(function() for function in functions.values())):
        raise AssertionError('the frames differ')
    seconds = interleaved(functions, repeats)
    median, least = ({name: pick(values) for name, values in seconds.items()} for pick in (statistics.median, min))
    return dict(ours_ms=1e3 * median['ours'], ours_min_ms=1e3 * least['ours'], tonic_ms=1e3 * median['tonic'],
                tonic_min_ms=1e3 * least['tonic'], speedup=median['tonic'] / median['ours'],
                speedup_min=least['tonic'] / least['ours'], events_per_second=EVENTS / median['ours'])


def bench_recording(repeats: int) -> dict:
    """Milliseconds for a sample with two views of a file of N-MNIST's format, from the file and from the cache."""
    events = random_events(LAYOUTS['gesture'])
    rows = np.stack([events['x'], events['y'], events['p'] * 128 + (events['t'] >> 16), events['t'] >> 8 & 255,
                     events['t'] & 255], 1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'train' / 'any').mkdir(parents=True)
        (Path(folder) / 'train' / 'any' / '0.bin').write_bytes(rows.astype(np.uint8).tobytes())
        options = dict(data_root=folder, split='train', sensor_size=SENSOR, pipeline=FRAMES)
        raw, cached = EventFolder(**options), EventFolder(**options, cache_dir='cache')
        seconds = interleaved(dict(raw=lambda: raw[0], cached=lambda: cached[0]), repeats)
    return {name: median_and_minimum(values) for name, values in seconds.items()}


def bench_epochs(epochs: int, workers: List[int]) -> Dict[str, dict]:
    """Seconds to load the training part of DigitsDVS, with two views, in batches of 50."""
    with tempfile.TemporaryDirectory() as folder:
        pack = [dict(type='PackEvents')]
        datasets = dict(raw=DigitsDVS('train', pipeline=FRAMES + pack),
                        cached=DigitsDVS('train', pipeline=FRAMES + pack, cache_dir=folder),
                        augmented=DigitsDVS('train', pipeline=FRAMES + AUGMENT + pack),
                        cached_augmented=DigitsDVS('train', pipeline=FRAMES + AUGMENT + pack, cache_dir=folder))

        def epoch(dataset: DigitsDVS, number: int) -> Callable[[], None]:
            loader = DataLoader(dataset, 50, num_workers=number, collate_fn=default_collate)
            return lambda: [None for _ in loader]

        seconds = interleaved({f'{name}, {number} workers': epoch(dataset, number)
                               for number in workers for name, dataset in datasets.items()}, epochs)
    return {name: dict(median=statistics.median(values), minimum=min(values)) for name, values in seconds.items()}


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    MMLogger.get_instance('bench', log_level='ERROR')
    framing = {layout: bench_framing(layout, args.repeats) for layout in LAYOUTS}
    recording = bench_recording(args.repeats)
    epochs = bench_epochs(args.epochs, args.workers)
    table = Table('events', 'ours, ms (min)', 'tonic, ms (min)', 'speedup (of minima)', 'million events/s',
                  title=f'{EVENTS:,} events, 128x128 pixels, {TIME_STEPS} frames of equal counts, int16')
    for layout, row in framing.items():
        table.add_row(layout, f'{row["ours_ms"]:.2f} ({row["ours_min_ms"]:.2f})',
                      f'{row["tonic_ms"]:.2f} ({row["tonic_min_ms"]:.2f})',
                      f'{row["speedup"]:.1f} ({row["speedup_min"]:.1f})', f'{row["events_per_second"] / 1e6:.0f}')
    second = Table('epoch of DigitsDVS', 'seconds (min)', title='500 recordings, 4 and 16 frames each')
    for name, row in epochs.items():
        second.add_row(name, f'{row["median"]:.3f} ({row["minimum"]:.3f})')
    third = Table('one recording', 'ms (min)', title=f'{EVENTS:,} events in a file, 4 and 16 frames')
    for name, row in recording.items():
        third.add_row(name, f'{row["median_ms"]:.2f} ({row["minimum_ms"]:.2f})')
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table, third, second)
    slowest = min(framing.values(), key=lambda row: row['speedup'])
    print(json.dumps(dict(
        speedup=slowest['speedup'], speedup_min=min(row['speedup_min'] for row in framing.values()),
        events_per_second=slowest['events_per_second'], framing=framing, recording=recording, epoch_seconds=epochs,
        **environment('numpy', 'tonic'))))


if __name__ == '__main__':
    main()
