"""The scripts in benchmarks/ run and end in JSON; no time is asserted."""
import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / 'benchmarks'


@pytest.fixture
def run(monkeypatch, capsys):
    """The object that a script prints last."""
    def run(name, *arguments):
        monkeypatch.syspath_prepend(BENCHMARKS)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / name), run_name='__main__')
        return json.loads(capsys.readouterr().out.splitlines()[-1])
    return run


def test_events(run):
    result = run('bench_events.py', '--repeats', 1, '--epochs', 1, '--workers', 0)
    assert {'speedup', 'speedup_min', 'events_per_second', 'versions', 'machine'} <= set(result)
    assert len(result['epoch_seconds']) == 4 and set(result['recording']) == {'raw', 'cached'}
    assert set(result['framing']) == {'gesture', 'aedat4'}


def test_growth(run, tmp_path):
    axes = dict(time_steps=[1, 2], batch_size=[2, 4], size=[32, 64], depth=[1, 2])
    arguments = [str(part) for name, values in axes.items() for flag in [name.replace('_', '-')]
                 for part in (f'--{flag}', *values, f'--base-{flag}', values[0])]
    result = run('bench_growth.py', '--repeats', 1, *arguments, '--plot', tmp_path / 'growth.svg')
    assert {'growth', 'base', 'versions', 'machine'} <= set(result)
    assert {name: axis['values'] for name, axis in result['growth'].items()} == axes
    assert all(axis['memory_law']['slope'] > 0 for axis in result['growth'].values())
    assert (tmp_path / 'growth.svg').read_text().count('time steps T') == 1


@pytest.mark.parametrize('arguments, sides, ratios', [
    (('bench_neuron.py', '--repeats', 1, '--shape', 2, 3, 50), {'IF', 'LIF', 'PLIF'},
     {'speedup', 'speedup_min', 'speedup_compiled', 'bound_ratio'}),
    (('bench_step.py', '--repeats', 1, '--batch-size', 2, '--size', 32, '--time-steps', 2),
     {'ours', 'ours_compressed', 'ours_channels_last', 'ours_bf16', 'ann', 'ann_channels_last', 'spikingjelly'},
     {'speedup', 'speedup_min', 'ann_ratio', 'saved_bytes_ratio', 'ann_saved_bytes_ratio'}),
    (('bench_memory.py', '--configs', 'demo/plain', '--batch-size', 4, '--size', 32),
     {'ours', 'ours_channels_last', 'spikingjelly'}, {'plan_error', 'saved_bytes_ratio', 'peak_ratio'}),
])
def test_against_spikingjelly(run, arguments, sides, ratios):
    """With spikingjelly where it is installed; without, the command that installs it is named."""
    if importlib.util.find_spec('spikingjelly') is None:
        with pytest.raises(SystemExit, match='pip install --no-deps spikingjelly==2.0.0 loguru'):
            run(*arguments)
        return
    result = run(*arguments)
    assert ratios | {'versions', 'machine'} <= set(result) and set(result.get('times') or result['sides']) == sides
