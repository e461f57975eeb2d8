"""Work directories of runs, made from one that was trained."""
import json
from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from bkdsnn.checkpoints.files import load_file, weights_of
from bkdsnn.runs.folders import Run
from helpers import demo_config


def train_comparison(folder: Path, teacher: Path) -> Path:
    """A folder as ``make demo`` leaves it: plain and mixed with two seeds of two epochs each; one of them is trained.

    The summary's numbers are made up: plain 81.25 and 83.75, mixed 90.5 and 91.5, teacher 98.1.
    """
    cfg = demo_config('mixed', folder / 'mixed' / 'seed0', teacher, **{'train_cfg.val_interval': 1})
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        Runner.from_cfg(cfg).train()
    for name, seed in (('mixed', 1), ('plain', 0), ('plain', 1)):
        derive_run(folder / 'mixed' / 'seed0', folder / name / f'seed{seed}', seed, plain=name == 'plain')
    write_summary(folder, plain=[81.25, 83.75], mixed=[90.5, 91.5])
    return folder


def derive_run(source: Path, folder: Path, seed: int = 0, plain: bool = False, **options) -> Path:
    """A copy of a run with another seed, and weights a little off; ``plain`` keeps the student and its loss alone."""
    run = Run.open(source)
    checkpoint = load_file(str(run.checkpoint))
    weights = weights_of(checkpoint) if plain else checkpoint['state_dict']
    generator = torch.Generator().manual_seed(seed + 10 * plain)
    for name, value in weights.items():
        if value.is_floating_point() and 'running' not in name:
            weights[name] = value + 0.02 * value.std() * torch.randn(value.shape, generator=generator)
    config = run.config
    if plain:
        config = demo_config('plain', folder, **{'train_cfg.val_interval': 1})
    config.merge_from_dict({'work_dir': str(folder), 'randomness.seed': seed, **options})
    folder.mkdir(parents=True)
    config.dump(str(folder / f'{"plain" if plain else "mixed"}.py'))
    torch.save(dict(checkpoint, state_dict=weights), folder / 'epoch_2.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    lines = [{key: value for key, value in line.items() if not (plain and key in ('loss_bkd', 'loss_wsld'))}
             for line in run.scalars()]
    write_log(folder, lines)
    return folder


def write_log(folder: Path, lines: list, started: str = '20260101_000000') -> Path:
    """A log of log lines in a work directory."""
    path = Path(folder) / started / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return path


def write_summary(folder: Path, **accuracies) -> None:
    """``summary.json`` of ``compare_runs.py`` with the given test accuracies."""
    methods = {name: dict(accuracy=accuracy, lr=0.3) for name, accuracy in accuracies.items()}
    (Path(folder) / 'summary.json').write_text(json.dumps(dict(teachers=dict(teacher=98.1), methods=methods)))
