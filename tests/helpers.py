"""Tiny models and runs that several tests use."""
import os
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

import golden

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO = REPOSITORY / 'configs' / 'demo'


def tiny_student(num_classes=10, widths=(4, 8), **backbone):
    """Config of a two-stage student for 8x8 images."""
    backbone = dict(dict(type='SEWResNet', arch=dict(layers=(1, ) * len(widths), widths=widths), T=2, neuron=golden.IF,
                         in_channels=1, stem='small'), **backbone)
    return dict(type='SpikingClassifier', backbone=backbone,
                head=dict(type='SpikingLinearHead', num_classes=num_classes, in_channels=widths[-1]))


def tiny_cnn(in_channels=1, num_classes=10):
    """An ANN with named stages, by import path ``helpers:tiny_cnn``."""
    from torch import nn

    class TinyCNN(nn.Module):

        def __init__(self):
            super().__init__()
            self.stage1 = nn.Sequential(nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
            self.stage2 = nn.Sequential(nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
            self.fc = nn.Linear(12, num_classes)

        def forward(self, x):
            return self.fc(self.stage2(self.stage1(x)).mean((-2, -1)))

    return TinyCNN()


def demo_config(name, work_dir, teacher=None, epochs=2, **options):
    """A demo config cut down to a few epochs, as an mmengine Config; ``teacher`` is the folder of ``small_teacher``."""
    cfg = Config.fromfile(DEMO / f'{name}.py')
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict({'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs,
                         'train_dataloader.dataset.labels_per_class': 10, 'default_hooks.checkpoint.interval': 1,
                         'default_hooks.logger.interval': 1, **options})
    if teacher is not None:
        cfg.model.teacher = dict(type='FrozenTeacher', model=str(teacher / 'small.py'), checkpoint=str(teacher))
    return cfg


def tool_environment(**env):
    """Environment of a tool: this interpreter, one thread, no GPU."""
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHON': sys.executable, **env}


def run_tool(*arguments, cwd=REPOSITORY, **env):
    """Run a tool of the repository; returns the finished process with its output."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=tool_environment(**env), capture_output=True, text=True, timeout=240,
                          check=False)
