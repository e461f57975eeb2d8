"""Runs that are killed, at any moment, in the midst of a checkpoint or of a validation, and resumed: nothing is lost.

The suite kills a few. ``BKDSNN_KILLS=20`` kills as many at random moments, and a quarter of that each around the files
of checkpoints, in the midst of writing one and during validations, with one and with two processes;
``BKDSNN_KILLS_SEED`` chooses other moments.
"""
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from bkdsnn.checkpoints.files import latest_checkpoint, load_file
from bkdsnn.runs.folders import Run
from bkdsnn.runs.logs import val_lines
from helpers import REPOSITORY, assert_same_checkpoint, demo_config, run_tool, run_tool_in_processes, tool_environment

NUMBER, SEED = int(os.environ.get('BKDSNN_KILLS', 2)), int(os.environ.get('BKDSNN_KILLS_SEED', 0))
TESTS = Path(__file__).parents[1]
# At most so often, then a run is left in peace.
IN_ONE_RUN = 3
# Of files, the first process writes.
ANY_PROCESS = ('time', 'validation')


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    """Runs that validate each epoch of two steps and save the best, and each epoch, or each step with an average."""
    folder, paths = tmp_path_factory.mktemp('kills'), []
    for name, saved in (('epochs', dict(interval=1)), ('steps', dict(by_epoch=False, interval=1))):
        cfg = demo_config('plain', folder, epochs=3, **{
            'train_cfg.val_interval': 1, 'val_dataloader.batch_size': 50, 'val_dataloader.dataset.indices': 150,
            'optim_wrapper.optimizer.lr': 0.3, 'model.backbone.arch.widths': (4, 4, 8), 'model.head.in_channels': 8})
        cfg.default_hooks.checkpoint.update(saved, save_best='accuracy/top1')
        cfg.custom_imports = dict(imports=['killer'])
        cfg.custom_hooks += [dict(type='Killer')] + [dict(type='EMAHook', momentum=0.3)] * (name == 'steps')
        paths.append(folder / f'{name}.py')
        cfg.dump(str(paths[-1]))
    return paths


def train(config, work_dir, processes, *arguments, kill='none 0 0'):
    """Exit codes of all processes; 0 also means that the run was finished."""
    call = ['tools/train.py', config, '--work-dir', work_dir, *arguments]
    settings = dict(cwd=config.parent, PYTHONPATH=str(TESTS), KILL=kill)
    done = [run_tool(*call, **settings)] if processes == 1 else run_tool_in_processes(processes, *call, **settings)
    if kill.startswith('none'):
        assert not any(process.returncode for process in done), done[0].stderr[-2000:]
    return [process.returncode for process in done]


def outcome(folder):
    """What a run has found: validation figures, the last checkpoint, and the names and the best of all."""
    best, = folder.glob('best_*.pth')
    figures = [(line['step'], line['accuracy/top1']) for line in val_lines(Run(folder, Config()))]
    return figures, load_file(latest_checkpoint(folder)), load_file(str(best))['state_dict'], sorted(
        path.name for path in folder.rglob('*') if path.suffix in ('.pth', '.partial'))


def plans(random_numbers, processes):
    """Kinds of kills, when, as a part of a run, and in which process."""
    kinds = ['time'] * NUMBER + ['files', 'half', 'validation'] * max(1, NUMBER // 4)
    random_numbers.shuffle(kinds)
    for kind in kinds:
        yield kind, random_numbers.random(), random_numbers.randrange(processes) if kind in ANY_PROCESS else 0


@pytest.mark.parametrize('processes', [1, 2])
def test_killed_runs_end_as_if_nothing_had_happened(configs, tmp_path, processes):
    """Weights, optimizer, validation figures, best checkpoint and files are those of a run that was left alone."""
    random_numbers, whole = random.Random(f'{SEED} {processes}'), {}
    for config in configs:
        train(config, tmp_path / config.stem, processes)
        whole[config] = outcome(tmp_path / config.stem), json.loads((tmp_path / config.stem / 'counts.txt').read_text())
    left, run, killed = list(plans(random_numbers, processes)), 0, []
    while left:
        config, folder, kills = configs[run % len(configs)], tmp_path / f'run{run}', []
        (figures, last, best, names), counts = whole[config]
        while left and len(kills) < IN_ONE_RUN:
            kind, part, rank = left.pop()
            # What is left of the run has become shorter.
            when = counts[kind] * part / (1 + len(kills))
            # A timer of zero would never go off.
            kill = f'{kind} {max(when, 0.001):.3f} {rank}' if kind == 'time' else f'{kind} {1 + int(when)} {rank}'
            if not any(train(config, folder, processes, '--resume', kill=kill)):
                left.insert(0, (kind, part / 2, rank))  # it came too late; another run gets it
                break
            kills.append(kill)
        train(config, folder, processes, '--resume')
        found = outcome(folder)
        assert len(figures) == 3 and found[0] == figures, (config, kills)
        assert_same_checkpoint(found[1], last)
        assert best.keys() == found[2].keys() and all(torch.equal(best[key], found[2][key]) for key in best), kills
        assert found[3] == names, (config, kills)
        run, killed = run + 1, killed + kills
    print(f'{len(killed)} kills in {run} runs: {killed}')


def test_killed_processes_are_started_again_and_go_on(configs, tmp_path):
    """By torchrun: the second process dies after the first checkpoint, then the first one, which has the lock."""
    config = configs[0]
    train(config, tmp_path / 'whole', 2)
    command = [REPOSITORY / 'tools/dist_train.sh', config, '2', '--work-dir', tmp_path / 'run', '--resume']
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, timeout=300, check=False,
                          env=tool_environment(PYTHONPATH=f'{TESTS}{os.pathsep}{REPOSITORY}', MAX_RESTARTS='2',
                                               KILL='validation 3 1;half 1 0'))
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / 'run').glob('*/vis_data'))) == 3
    whole, found = outcome(tmp_path / 'whole'), outcome(tmp_path / 'run')
    assert found[0] == whole[0] and found[3] == whole[3]
    assert_same_checkpoint(found[1], whole[1])
