"""Run the benchmarks and write what they measured into the docs: ``python benchmarks/write_page.py [NAME ...]``.

What each printed last is kept in ``benchmarks/results/NAME.json``, with the command and the date; the page
``docs/benchmarks_measured.md`` is written from all of these. Run it on a machine that does nothing else.
``bench_gpu.py``, which needs a GPU, is run by itself and writes its own ``results/gpu.json``.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from gpu_page import gpu_section

BENCHMARKS = Path(__file__).resolve().parent
RESULTS, PAGE = BENCHMARKS / 'results', BENCHMARKS.parent / 'docs' / 'benchmarks_measured.md'
# Most of the noise of shared machines are page faults; these settings keep memory once it is there.
MALLOC = dict(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='100000000000', MALLOC_TOP_PAD_='1000000000')
COMMANDS: Dict[str, List[str]] = {
    'neuron-sigmoid': ['bench_neuron.py'],
    'neuron-atan': ['bench_neuron.py', '--surrogate', 'ATan'],
    'neuron-others': ['bench_neuron.py', '--repeats', '10', '--neurons',
                      'ILIF', 'SFA', 'CLIF', 'GLIF', 'PSN', 'MaskedPSN', 'SlidingPSN'],
    'step-sew-resnet18': ['bench_step.py', '--compile', '--cached-teacher'],
    'step-spikformer-4-384': ['bench_step.py', '--network', 'spikformer-4-384', '--repeats', '6', '--compile',
                              '--cached-teacher'],
    'step-spikingformer-4-384': ['bench_step.py', '--network', 'spikingformer-4-384', '--repeats', '6', '--compile'],
    'step-maxformer-4-384': ['bench_step.py', '--network', 'maxformer-4-384', '--repeats', '6'],
    'step-e-spikeformer-s': ['bench_step.py', '--network', 'e-spikeformer-s', '--batch-size', '2', '--repeats', '6'],
    'predict': ['bench_predict.py'],
    'sparse-conv': ['bench_sparse_conv.py', '--plot', 'docs/_static/sparse_conv.svg'],
    'memory': ['bench_memory.py'],
    'growth': ['bench_growth.py', '--plot', 'docs/_static/growth.svg'],
    'data': ['bench_data.py'],
    'events': ['bench_events.py'],
    'import': ['bench_import.py'],
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('names', nargs='*', choices=[*COMMANDS, []], help='which to run; all without a name')
    parser.add_argument('--page-only', action='store_true', help='run none, and write the page from what is there')
    return parser.parse_args()


def run(name: str) -> None:
    """Run one benchmark and keep its result."""
    command = [sys.executable, str(BENCHMARKS / COMMANDS[name][0]), *COMMANDS[name][1:]]
    print('$', ' '.join(('python', f'benchmarks/{COMMANDS[name][0]}', *COMMANDS[name][1:])), flush=True)
    # bench_memory.py brings settings of its own.
    environment = {**os.environ, **({} if name == 'memory' else MALLOC)}
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=BENCHMARKS.parent)
    print(process.stdout, flush=True)
    if process.returncode:
        raise SystemExit(f'benchmarks/{COMMANDS[name][0]} failed; the page is as it was.')
    result = dict(json.loads(process.stdout.splitlines()[-1]), date=f'{datetime.date.today():%Y-%m-%d}')
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f'{name}.json').write_text(json.dumps(result, indent=1) + '\n')


def section(name: str, result: dict) -> List[str]:
    """Lines of the page for one benchmark: its command, its ratios, and its times where it has some."""
    ratios = {key: value for key, value in result.items() if isinstance(value, (int, float))}
    rows = [f'| `{key}` | {value:.3g} |' for key, value in ratios.items()]
    for key, row in (result.get('ratios') or {}).items():
        rows.append(f'| {key} | ' + ', '.join(f'`{ratio}` {value:.3g}' for ratio, value in row.items()) + ' |')
    lines = [f'### {name}', '', f'`python benchmarks/{" ".join(COMMANDS[name])}`', '']
    lines += ['| | |', '|---|---|', *rows] if rows else ['A picture, above.'] if '--plot' in COMMANDS[name] else []
    times = result.get('times') or {}
    if times and 'median_ms' in next(iter(times.values())):
        lines += ['', '| side | ms, median (minimum) | MiB saved |', '|---|---|---|']
        saved = result.get('saved_bytes', {})
        lines += [f'| {side} | {row["median_ms"]:.0f} ({row["minimum_ms"]:.0f}) | '
                  + (f'{saved[side] / 2**20:.0f}' if side in saved else '') + ' |' for side, row in times.items()]
    else:
        for kind, rows in times.items():
            row = ', '.join(f'{side} {t["median_ms"]:.1f} ({t["minimum_ms"]:.1f})' for side, t in rows.items())
            lines += ['', f'{kind}, ms, median (minimum): {row}.']
    if 'profile' in result:
        lines += ['', '| part of the processor\'s time in a step | |', '|---|---|',
                  *(f'| {part} | {100 * share:.0f} % |' for part, share in result['profile'].items())]
    versions = ', '.join(f'{package} {version}' for package, version in result['versions'].items())
    return [*lines, '', f'({result["machine"]}; {versions}; {result["date"]}.)', '']


def write_page() -> None:
    """Write the page from all results."""
    lines = ['<!-- Written by benchmarks/write_page.py. -->', '']
    for name in COMMANDS:
        path = RESULTS / f'{name}.json'
        if path.exists():
            lines += section(name, json.loads(path.read_text()))
    gpu = RESULTS / 'gpu.json'
    lines += gpu_section(json.loads(gpu.read_text()) if gpu.exists() else {})
    PAGE.write_text('\n'.join(lines))


def main() -> None:
    args = parse_args()
    for name in [] if args.page_only else args.names or COMMANDS:
        run(name)
        write_page()
    write_page()


if __name__ == '__main__':
    main()
