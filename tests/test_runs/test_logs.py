"""Runs on disk and the numbers in their logs, from logs written by hand."""
import json

import pytest
from mmengine.config import Config

from bkdsnn.runs.folders import Run, find_runs
from bkdsnn.runs.logs import LogSummary, loss_keys, series, step_times, train_lines, val_lines
from generated_runs import write_log


def train_line(step, loss_cls, epoch=None, time=0.5, **more):
    return dict(lr=0.1, loss=loss_cls, loss_cls=loss_cls, time=time, iter=step, step=step, **more,
                **({} if epoch is None else dict(epoch=epoch)))


def val_line(epoch, accuracy):
    return {'accuracy/top1': accuracy, 'time': 0.1, 'step': epoch}


def make_run(folder, *parts, max_epochs=4, **train_cfg):
    folder.mkdir(parents=True, exist_ok=True)
    Config(dict(model=dict(type='X'), train_cfg=dict(train_cfg or dict(max_epochs=max_epochs)))).dump(
        str(folder / 'config.py'))
    for i, lines in enumerate(parts):
        write_log(folder, lines, f'2026010{i + 1}_000000')
    return Run.open(folder)


TWO_EPOCHS = [train_line(5, 2.0, 1), train_line(10, 1.0, 1), val_line(1, 60.0),
              train_line(15, 0.5, 2), train_line(20, 0.25, 2), val_line(2, 50.0)]


def test_summary_by_hand(tmp_path):
    summary = LogSummary.of(make_run(tmp_path, TWO_EPOCHS))
    assert (summary.done, summary.planned, summary.unit) == (2, 4, 'epoch')
    assert (summary.metric, summary.last, summary.best, summary.best_at) == ('accuracy/top1', 50.0, 60.0, 1)
    # 20 steps of half a second are done, 20 are left.
    assert (summary.step_time, summary.elapsed, summary.remaining) == (0.5, 10.0, 10.0)
    assert summary.losses == dict(loss_cls=0.25)


def test_time_left_of_a_running_epoch_counts_its_steps(tmp_path):
    lines = TWO_EPOCHS + [train_line(24, 0.2, 3, time=1.0)]
    # 20 x 0.5 s + 4 x 1 s for 24 steps; 16 of 40 are left.
    assert LogSummary.of(make_run(tmp_path, lines)).remaining == pytest.approx(16 * 14 / 24)


def test_time_left_is_unknown_in_the_first_epoch_and_nothing_at_the_end(tmp_path):
    assert LogSummary.of(make_run(tmp_path / 'a', [train_line(5, 2.0, 1)])).remaining is None
    assert LogSummary.of(make_run(tmp_path / 'b', TWO_EPOCHS, max_epochs=2)).remaining == 0


def test_runs_by_iterations(tmp_path):
    lines = [train_line(100, 2.0), train_line(200, 1.0), val_line(200, 40.0)]
    run = make_run(tmp_path, lines, max_iters=400)
    summary = LogSummary.of(run)
    assert (summary.done, summary.planned, summary.unit, summary.remaining) == (200, 400, 'iter', 100.0)
    assert series(run, 'loss_cls') == ([100, 200], [2.0, 1.0]) and list(step_times(run)) == [0]


def test_empty_log_is_a_run_that_has_not_begun(tmp_path):
    summary = LogSummary.of(make_run(tmp_path, []))
    assert (summary.done, summary.metric, summary.last, summary.remaining) == (0, None, None, None)


@pytest.mark.parametrize('in_the_same_second', [False, True])
def test_what_a_resumed_run_does_again_counts_once(tmp_path, in_the_same_second):
    again = [train_line(15, 9.0, 2), train_line(20, 8.0, 2), val_line(2, 55.0), train_line(25, 7.0, 3)]
    run = make_run(tmp_path, *([TWO_EPOCHS + again] if in_the_same_second else [TWO_EPOCHS, again]))
    assert [line['loss_cls'] for line in train_lines(run)] == [2.0, 1.0, 9.0, 8.0, 7.0]
    assert [line['accuracy/top1'] for line in val_lines(run)] == [60.0, 55.0]


def test_a_run_started_anew_forgets_the_older_one(tmp_path):
    run = make_run(tmp_path, TWO_EPOCHS, [train_line(5, 3.0, 1)])
    assert [line['loss_cls'] for line in train_lines(run)] == [3.0] and val_lines(run) == []


def test_series_counts_in_epochs(tmp_path):
    run = make_run(tmp_path, TWO_EPOCHS)
    assert series(run, 'loss_cls') == ([0.5, 1.0, 1.5, 2.0], [2.0, 1.0, 0.5, 0.25])
    assert series(run, 'accuracy/top1') == ([1, 2], [60.0, 50.0])
    with pytest.raises(ValueError, match="has not logged 'loss_bkd'; it has loss, loss_cls, accuracy/top1"):
        series(run, 'loss_bkd')


def test_loss_terms_leave_the_total_out_unless_it_is_all(tmp_path):
    lines = [train_line(1, 2.0, 1, loss_bkd=1.0, grad_norm=3.0)]
    assert loss_keys(make_run(tmp_path / 'a', lines)) == ['loss_cls', 'loss_bkd']
    ann = [dict(loss=1.0, iter=1, step=1, epoch=1)]
    assert loss_keys(make_run(tmp_path / 'b', ann)) == ['loss']


def test_half_a_line_of_a_killed_run_is_skipped(tmp_path):
    run = make_run(tmp_path, TWO_EPOCHS)
    log = next(tmp_path.glob('*/vis_data/scalars.json'))
    log.write_text(log.read_text() + json.dumps(train_line(25, 0.1, 3))[:20])
    assert len(train_lines(run)) == 4


def test_runs_are_found_below_a_folder_in_the_order_of_numbers(tmp_path):
    for name in ('b/seed10', 'b/seed2', 'a/seed0'):
        make_run(tmp_path / name, TWO_EPOCHS)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'no_run.py').write_text('x = 1\n')
    assert [run.folder.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == [
        'a/seed0', 'b/seed2', 'b/seed10']


def test_what_a_test_of_a_run_has_left_is_no_run(tmp_path):
    make_run(tmp_path, TWO_EPOCHS)
    make_run(tmp_path / 'test', [{'accuracy/top1': 50.0, 'time': 0.1, 'data_time': 0.01, 'step': 0}])
    make_run(tmp_path / 'just_begun', [])
    assert [run.folder for run in find_runs(tmp_path)] == [tmp_path]
    assert [run.folder.name for run in find_runs(tmp_path / 'just_begun')] == ['just_begun']
    with pytest.raises(FileNotFoundError, match='holds no run'):
        find_runs(tmp_path / 'test')


def test_a_log_file_means_its_run(tmp_path):
    make_run(tmp_path / 'a', TWO_EPOCHS)
    log = next(tmp_path.glob('a/*/vis_data/scalars.json'))
    assert [run.folder for run in find_runs(log)] == [tmp_path / 'a']


@pytest.mark.parametrize('name, words', [('nowhere', 'does not exist'), ('', 'holds no run')])
def test_no_run_names_the_path_and_the_command(tmp_path, name, words):
    with pytest.raises(FileNotFoundError, match=rf'{words}.*tools/train\.py CONFIG'):
        find_runs(tmp_path / name)
