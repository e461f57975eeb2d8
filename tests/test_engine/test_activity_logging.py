"""Firing rates, energy and accuracy over time in the validation log."""
import pytest
import torch
from mmengine.runner import Runner

from bkdsnn import init_model
from bkdsnn.apis.evaluate import build_loader, predict_steps
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.hooks import SynOpsHook, synops_hook
from bkdsnn.engine.hooks.synops_hook import cost_over_processes
from bkdsnn.evaluation import accuracy_over_time, measure_synops, running_scores
from bkdsnn.evaluation.activity import ActivityCounter
from bkdsnn.runs.folders import Run
from helpers import demo_config, lively

EVALUATOR = [dict(type='mmpretrain.Accuracy'), dict(type='AccuracyOverTime')]


@pytest.fixture(scope='module')
def runs(tmp_path_factory, small_teacher):
    """A short distillation run with hook and metric, and the same without."""
    folders = {}
    for name in ('with', 'without'):
        folders[name] = tmp_path_factory.mktemp(name)
        cfg = demo_config('mixed', folders[name], small_teacher, epochs=1,
                          **{'val_dataloader.dataset.labels_per_class': 4, 'val_dataloader.batch_size': 16})
        if name == 'with':
            cfg.default_hooks.synops = dict(type='SynOpsHook')
            cfg.val_evaluator = cfg.test_evaluator = EVALUATOR
        runner = Runner.from_cfg(cfg)
        runner.train()
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in runner.model.modules())
    return folders


@pytest.fixture(scope='module')
def logged(runs):
    (line, ) = [line for line in Run.open(runs['with']).scalars() if 'accuracy/top1' in line]
    return line


@pytest.fixture(scope='module')
def trained(runs):
    return init_model(Run.open(runs['with']).config, str(runs['with']))


def test_logged_cost_is_that_of_the_saved_student_on_the_validation_data(logged, trained):
    cost = measure_synops(trained, build_loader(trained.cfg, 'val'))
    assert cost.samples == 40
    assert logged['energy_uJ'] == pytest.approx(1e6 * cost.energy)
    assert logged['synops_M'] == pytest.approx(cost.synops / 1e6)
    assert logged['firing_rate/mean'] == pytest.approx(cost.firing_rate)
    stages = {key for key in logged if key.startswith('firing_rate/')}
    assert stages == {f'firing_rate/{name}' for name in (
        'mean', 'backbone.stem', 'backbone.layer1', 'backbone.layer2', 'backbone.layer3')}
    stem = next(layer for layer in cost.neurons if layer.name == 'backbone.stem.neuron')
    assert logged['firing_rate/backbone.stem'] == pytest.approx(stem.firing_rate) and stem.firing_rate > 0
    assert 0 < logged['dead_neurons'] < 100


def test_training_is_not_touched(runs):
    with_hook, without = (load_file(str(folder / 'epoch_1.pth'))['state_dict'] for folder in runs.values())
    assert with_hook.keys() == without.keys()
    assert all(torch.equal(with_hook[key], without[key]) for key in with_hook)
    (line, ) = [line for line in Run.open(runs['without']).scalars() if 'accuracy/top1' in line]
    assert 'energy_uJ' not in line and 'accuracy/step1' not in line


def test_logged_accuracy_over_time_is_that_of_a_pass_outside_the_run(logged, trained):
    logits, labels = predict_steps(trained, build_loader(trained.cfg, 'val'))
    found = accuracy_over_time(running_scores(logits), labels)
    assert logits.shape == (2, 40, 10)
    assert [logged['accuracy/step1'], logged['accuracy/step2']] == pytest.approx(found.accuracy.tolist())
    assert logged['accuracy/step2'] == pytest.approx(logged['accuracy/top1'])
    assert logged['accuracy/agreement1'] == pytest.approx(found.agreement[1, 0].item())
    assert 'accuracy/agreement2' not in logged


def test_an_ann_has_no_accuracy_over_time_but_an_energy(small_teacher, tmp_path):
    cfg = Run.open(small_teacher).config
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), load_from=str(small_teacher / 'epoch_1.pth')))
    cfg.default_hooks.synops = dict(type='SynOpsHook')
    metrics = Runner.from_cfg(cfg).test()
    assert metrics['synops_M'] == 0 and metrics['energy_uJ'] > 0 and 'firing_rate/mean' not in metrics
    cfg.test_evaluator = EVALUATOR
    with pytest.raises(ValueError, match='An ANN has no time steps.*test_evaluator'):
        Runner.from_cfg(cfg).test()


def test_counts_of_processes_add_up(monkeypatch):
    student = lively('demo/plain')
    images = torch.randn(5, 1, 8, 8)
    states = []
    for part in (images[:2], images[2:]):
        with torch.no_grad(), ActivityCounter(student) as counter:
            student(part)
        states.append((counter.operations, counter.firing, counter.samples))
    monkeypatch.setattr(synops_hook, 'all_gather_object', lambda _: states)
    found, whole = cost_over_processes(counter), measure_synops(student, [images])
    assert found.samples == 5 and found.energy == pytest.approx(whole.energy)
    assert found.neurons == whole.neurons


def test_depth_names_stages_as_finely_as_asked():
    cost = measure_synops(lively('demo/plain'), [torch.randn(1, 1, 8, 8)])
    assert [len([key for key in SynOpsHook(depth).summary(cost) if key.startswith('firing_rate/backbone')])
            for depth in (1, 2, 4, 9)] == [1, 4, 9, 9]
    with pytest.raises(ValueError, match='depth=0'):
        SynOpsHook(0)
