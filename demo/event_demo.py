"""Classify recordings of an event camera: ``python demo/event_demo.py [RECORDING_OR_FOLDER] [MODEL]``.

Without arguments, the package's own student classifies the recordings in ``demo/samples``. ``--live`` replays one
recording in real time, and the network follows it frame by frame.
"""
import argparse
import sys
import time
from pathlib import Path
from typing import Iterator, List

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.demo import add_demo_arguments, make_inferencer, only_json_on_stdout, predict_and_print, write_json
from bkdsnn.apis.readers import list_items

SAMPLES = Path(__file__).parent / 'samples' / 'recordings'
CHUNK = 5_000  # microseconds


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', nargs='?', default=str(SAMPLES),
                        help='recording (.aedat4, .npy, .bin) or folder of recordings; default: samples')
    add_demo_arguments(parser, 'demo/events_mixed')
    parser.add_argument('--sensor-size', type=int, nargs=2, metavar=('W', 'H'),
                        help="of the recordings; default: the training data's")
    parser.add_argument('--live', action='store_true', help='replay the first recording in real time')
    parser.add_argument('--window-ms', type=float,
                        help='duration of a frame with --live; default: that of the recording over the time steps')
    parser.add_argument('--window-events', type=int, help='number of events of a frame with --live')
    return parser.parse_args()


def replay(events: np.ndarray) -> Iterator[np.ndarray]:
    """Chunks of a recording, each at the time when a camera would have sent it."""
    begin = time.monotonic()
    events = events[np.argsort(events['t'], kind='stable')]
    numbers = (events['t'].astype(np.int64) - int(events['t'][0])) // CHUNK
    for chunk in np.split(np.arange(len(events)), np.flatnonzero(np.diff(numbers)) + 1):  # a pause sends nothing
        stop = (numbers[chunk[0]] + 1) * CHUNK / 1e6
        time.sleep(max(0.0, begin + stop - time.monotonic()))
        yield events[chunk]


def follow(args: argparse.Namespace) -> List[dict]:
    """Print a row for each frame of a recording as it is replayed."""
    inferencer = make_inferencer(args, sensor_size=args.sensor_size)
    recording = list_items(args.input, inferencer.reader.extensions)[0]
    events = inferencer.reader.read(recording.source)['events']
    if not len(events):
        raise ValueError(f'{recording.name} has no events to replay.')
    if args.window_events is not None:
        window = dict(count=args.window_events)
    elif args.window_ms is not None:
        window = dict(duration=round(1000 * args.window_ms))
    else:
        steps = args.time_steps or inferencer.time_steps
        window = dict(duration=-(-int(events['t'][-1] - events['t'][0] + 1) // steps))
    table = Table('step', 'ms', 'events', 'prediction', 'score', 'spikes',
                  title=f'{Path(recording.name).name}, {args.model}')
    results, console = [], Console(width=None if Console().is_terminal else 120)
    with Live(table, console=console):
        for result in inferencer.stream(replay(events), window, last=args.time_steps):
            results.append(result)
            table.add_row(str(result['step']), f'{(result["stop"] - int(events["t"][0])) / 1000:.0f}',
                          str(result['events']), result.get('pred_class', str(result['pred_label'])),
                          f'{result["pred_score"]:.3f}', f'{result["spikes"]:,}')
    if not console.is_terminal:
        console.print()  # Live leaves the last line open there
    return results


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that would do nothing."""
    idle = ['window_ms', 'window_events'] if not args.live else ['threshold', 'show', 'show_dir']
    named = [f'--{name.replace("_", "-")}' for name in idle if getattr(args, name)]
    if named:
        raise ValueError(f'{", ".join(named)} {"does" if len(named) == 1 else "do"} nothing '
                         f'{"with" if args.live else "without"} --live.')


def main() -> None:
    args = parse_args()
    check_arguments(args)
    if not args.live:
        sys.exit(not predict_and_print(args, sensor_size=args.sensor_size))
    with only_json_on_stdout(args):
        results = follow(args)
    write_json(results, args.json)


if __name__ == '__main__':
    with fail_clearly():
        main()
