"""get_synops.py and accuracy_over_time.py, as a user calls them."""
import json

import pytest
from mmengine.runner import Runner

from bkdsnn import init_model
from bkdsnn.apis.evaluate import build_loader, predict_steps, spread_samples
from bkdsnn.evaluation import calibrate_early_exit, early_exit, measure_synops, running_scores
from helpers import DEMO, demo_config, run_tool

SYNOPS, OVER_TIME = (f'tools/analysis_tools/{name}.py' for name in ('get_synops', 'accuracy_over_time'))


@pytest.fixture(scope='module')
def run(tmp_path_factory, small_teacher):
    """A short distillation run, with its config ``mixed.py``."""
    folder = tmp_path_factory.mktemp('run')
    Runner.from_cfg(demo_config('mixed', folder, small_teacher, epochs=2)).train()
    return folder


@pytest.fixture(scope='module')
def student(run):
    return init_model(str(run / 'mixed.py'), str(run))


def test_student_and_teacher_are_measured_on_the_same_samples(run, student, small_teacher, tmp_path):
    done = run_tool(SYNOPS, run / 'mixed.py', run, '--num-samples', 9, '--json', tmp_path / 'cost.json')
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / 'cost.json').read_text())
    expected = measure_synops(student, spread_samples(build_loader(student.cfg), 9))
    assert found['student']['energies'] == pytest.approx(expected.energies) and len(expected.energies) == 9
    teacher = init_model(str(small_teacher / 'small.py'), str(small_teacher))
    ann = measure_synops(teacher, spread_samples(build_loader(student.cfg), 9))
    assert found['teacher']['energy'] == pytest.approx(ann.energy) and found['no_teacher'] is None
    assert f'Student: {1e6 * expected.energy:.4f} uJ for one sample, mean of 9' in done.stdout
    assert f'Teacher: {1e6 * ann.energy:.4f} uJ' in done.stdout
    assert f'{100 * expected.energy / ann.energy:.2f} % of the teacher' in done.stdout
    assert all(layer.name in done.stdout for layer in expected) and '4.6 pJ x MACs' in done.stdout
    dead = next(layer for layer in expected.neurons if layer.dead_channels)
    assert f'{len(dead.dead_channels)} of {dead.channels} channels dead' in done.stdout
    assert 'NO CHECKPOINT' not in done.stdout + done.stderr


def test_without_a_checkpoint_it_says_so_loudly_and_why_there_is_no_teacher(tmp_path):
    done = run_tool(SYNOPS, DEMO / 'mixed.py', '--num-samples', 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count('NO CHECKPOINT') == done.stderr.count('NO CHECKPOINT') == 1
    assert 'Teacher: not measured' in done.stdout and 'tools/train.py' in done.stdout
    done = run_tool(SYNOPS, DEMO / 'plain.py', '--num-samples', 1)
    assert 'Network: ' in done.stdout and 'Teacher: not measured, since the config has none' in done.stdout


def test_several_teachers_are_not_measured(small_teacher, tmp_path):
    (tmp_path / 'two.py').write_text(f"""
_base_ = ['{DEMO / 'mixed.py'}']
one = dict(type='FrozenTeacher', model='{small_teacher / 'small.py'}', checkpoint='{small_teacher}')
model = dict(teacher=dict(_delete_=True, type='TeacherEnsemble', teachers=dict(a=one, b=one)),
             taps=dict(teacher=dict(feature='a.backbone', logits='average')))""")
    done = run_tool(SYNOPS, tmp_path / 'two.py', '--num-samples', 1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'Teacher: not measured, since several networks teach together' in done.stdout


def test_accuracy_over_time_is_calibrated_on_validation_and_applied_to_test(run, student, tmp_path):
    done = run_tool(OVER_TIME, run / 'mixed.py', run, '--max-drop', 3, '--json', tmp_path / 'steps.json')
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / 'steps.json').read_text())
    scores = {}
    for split in ('val', 'test'):
        logits, labels = predict_steps(student, build_loader(student.cfg, split))
        scores[split] = running_scores(logits), labels
    calibrated = calibrate_early_exit(*scores['val'], 3)
    applied = early_exit(*scores['test'], calibrated.threshold)
    for split, expected in (('val', calibrated), ('test', applied)):
        assert found[split]['early_exit'] == pytest.approx(vars(expected))
        assert found[split]['samples'] == len(scores[split][1])
    assert 1 <= applied.mean_steps < 2
    assert f'{applied.mean_steps:.2f} of 2' in done.stdout and f'{applied.accuracy:.2f}' in done.stdout
    assert f'{found["test"]["accuracy"][0]:.2f}' in done.stdout
    done = run_tool(OVER_TIME, run / 'mixed.py', run, '--max-drop', 99)
    assert 'Stopping after the first step, which loses at most 99 points' in ' '.join(done.stdout.split())


def test_bad_input_of_the_tools_is_one_line(small_teacher, tmp_path):
    done = run_tool(OVER_TIME, small_teacher / 'small.py', small_teacher)
    assert done.returncode == 1 and 'An ANN has no time steps' in done.stderr and 'Traceback' not in done.stderr
    done = run_tool(SYNOPS, DEMO / 'plain.py', '--json', tmp_path / 'missing' / 'x.json')
    assert done.returncode == 2 and "missing/x.json' does not exist" in done.stderr
    done = run_tool(SYNOPS, DEMO / 'plain.py', '--num-samples', 0)
    assert done.returncode == 1 and '--num-samples 0' in done.stderr
