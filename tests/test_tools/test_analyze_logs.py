"""Logs in the terminal."""
import runpy
import sys

import pytest
from matplotlib.figure import Figure
from mmengine.config import Config

from bkdsnn.visualization.terminal import duration, sparkline
from generated_runs import write_log
from helpers import REPOSITORY, run_tool

TOOL = 'tools/analysis_tools/analyze_logs.py'


def lines_of(result):
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_table_lists_every_run_with_its_last_losses(small_comparison):
    lines = lines_of(run_tool(TOOL, small_comparison))
    rows = [line for line in lines if '/seed' in line]
    assert [row.split()[1] for row in rows] == ['mixed/seed0', 'mixed/seed1', 'plain/seed0', 'plain/seed1']
    assert all('2/2' in row and 'done' in row for row in rows)
    head = next(line for line in lines if 'loss_bkd' in line)
    assert 'loss_cls' in head and 'loss_wsld' in head


def test_curves_in_the_terminal_and_as_a_picture(small_comparison, tmp_path):
    runs = [small_comparison / 'mixed' / 'seed0', small_comparison / 'plain' / 'seed0']
    lines = lines_of(run_tool(TOOL, 'plot_curve', *runs, '--keys', 'loss_cls', 'accuracy/top1'))
    assert sum('loss_cls' in line for line in lines) == sum('accuracy/top1' in line for line in lines) == 2
    out = tmp_path / 'curves.png'
    run_tool(TOOL, 'plot_curve', *runs, '--legend', 'a', 'b', '--out', out)
    assert out.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_curves_of_runs_by_iterations_say_so(tmp_path, monkeypatch):
    Config(dict(model=dict(type='X'), train_cfg=dict(max_iters=4))).dump(str(tmp_path / 'config.py'))
    write_log(tmp_path, [dict(step=step, iter=step, loss=1.0 / step) for step in (1, 2)])
    labels = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, out: labels.append(figure.axes[0].get_xlabel()))
    monkeypatch.setattr(sys, 'argv', [TOOL, 'plot_curve', str(tmp_path), '--out', str(tmp_path / 'curves.png')])
    runpy.run_path(str(REPOSITORY / TOOL), run_name='__main__')
    assert labels == ['iteration']


def test_time_of_a_step(small_comparison):
    lines = lines_of(run_tool(TOOL, 'cal_train_time', small_comparison / 'mixed' / 'seed0', '--include-outliers'))
    assert any('seed0' in line and '(1)' in line and '(2)' in line for line in lines)


@pytest.mark.parametrize('arguments, words', [
    (('plot_curve', '{0}', '--keys', 'loss_nothing'), "has not logged 'loss_nothing'; it has loss, loss_cls"),
    (('plot_curve', '{0}', '--legend', 'a', 'b'), '--legend has 2 names, but there are 1 curves'),
    (('{0}/nowhere', ), 'does not exist'),
])
def test_bad_input_is_one_paragraph(small_comparison, arguments, words):
    run = small_comparison / 'plain' / 'seed0'
    result = run_tool(TOOL, *(argument.format(run) for argument in arguments))
    assert result.returncode == 1 and words in result.stderr and 'Traceback' not in result.stderr


def test_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == '▁▂▃▄▅▆▇█'
    assert sparkline([5.0, 5.0]) == '▁▁' and sparkline([]) == ''
    assert sparkline([0, float('nan'), 1]) == '▁ █'
    assert sparkline(list(range(100)), width=8) == '▁▂▃▄▅▆▇█'


@pytest.mark.parametrize('seconds, text', [(0, '0:00'), (59.6, '1:00'), (61, '1:01'), (3723, '1:02:03')])
def test_duration(seconds, text):
    assert duration(seconds) == text
