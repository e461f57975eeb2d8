"""Tiny models and runs that several tests use."""
import gc
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import loops
from PIL import Image, ImageDraw

import golden
from bkdsnn.apis.cli import disconnected_afterwards
from bkdsnn.config.text import plain_config_text
from bkdsnn.models.neurons import nodes

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO = REPOSITORY / 'configs' / 'demo'
# As MIN_NUMBERS_TO_COMPILE: no neuron is compiled that does not ask for it.
NEVER = 2**62
PLAIN = ExitStack()
MIXUP = dict(augments=dict(type='Mixup', alpha=0.8))
TOOLS = multiprocessing.get_context('forkserver')
# What most of them load: tools, and the digits.
TOOLS.set_forkserver_preload(['bkdsnn.apis.cli', 'bkdsnn.models', 'bkdsnn.datasets', 'bkdsnn.engine',
                              'bkdsnn.evaluation', 'mmpretrain.engine', 'mmpretrain.evaluation', 'sklearn.datasets'])


def save_time():
    """Spare this process what takes most of the time of small runs, and which nothing is about.

    A run writes its config six times, and yapf makes it pretty each time; mmengine collects garbage for each data set,
    among all that was imported; and it sleeps two seconds where a training by steps begins its data anew.
    """
    loops.time = SimpleNamespace(sleep=lambda seconds: None)
    PLAIN.enter_context(plain_config_text())
    nodes.MIN_NUMBERS_TO_COMPILE = NEVER
    gc.freeze()


def logged_by(monkeypatch, *modules):
    """The list of all lines that modules log from now on."""
    lines = []
    for module in modules:
        monkeypatch.setattr(module, 'print_log', lambda line, **_: lines.append(line))
    return lines


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


@lru_cache
def digits():
    """500 images (500, 1, 8, 8) in [-1, 1] and their labels."""
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images[:500]).float().view(-1, 1, 8, 8) / 8 - 1, torch.from_numpy(labels[:500])


def digits_batch(step, size=20):
    """A random batch of digits; the seeds of all generators follow from the number of the step."""
    from mmpretrain.structures import DataSample
    torch.manual_seed(step)
    np.random.seed(step)
    images, labels = digits()
    chosen = torch.randint(len(images), (size, ))
    return dict(inputs=images[chosen], data_samples=[DataSample().set_gt_label(label) for label in labels[chosen]])


def small_distiller():
    """A tiny student of digits with mixup that learns by BKD and WSLD from a random teacher."""
    from bkdsnn.registry import MODELS
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='Distiller', student=dict(tiny_student(widths=(8, 16)), train_cfg=MIXUP,
                                       data_preprocessor=dict(num_classes=10)),
        teacher=dict(type='FrozenTeacher', model=tiny_cnn()),
        losses=dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=0.01),
                    loss_wsld=dict(type='WSLDLoss', student='head', teacher='fc', tau=1.0))))
    model.init_weights()
    return model.train()


def lively(name, seed=0):
    """An untrained network of the package with random norms, so that all of its layers fire."""
    import torch
    from torch import nn

    from bkdsnn import get_model
    torch.manual_seed(seed)
    model = get_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, 0.3, 0.5)
    return model


LIF = dict(golden.IF, type='LIFNode', tau=2.0, decay_input=True, v_threshold=0.5)
BLOCKS = dict(depth=1, channels=32, num_heads=4, patch_size=4)
# Of every backbone, the smallest network that has all of its parts.
SMALL_BACKBONES = dict(
    SEWResNet=dict(arch=dict(layers=(1, 1), widths=(8, 16)), T=2, neuron=golden.IF),
    SEWDVSNet=dict(arch=dict(widths=(8, 8, 16)), neuron=dict(LIF, type='ParametricLIFNode')),
    Spikformer=dict(arch=BLOCKS, T=2, neuron=LIF, tokenizer='sps'),
    Spikingformer=dict(arch=BLOCKS, T=2, neuron=LIF),
    QKFormer=dict(arch=dict(depths=(1, 1, 1), channels=32, num_heads=4, patch_size=4), T=2, neuron=LIF),
    MetaSpikeFormer=dict(arch=dict(channels=(8, 8, 16, 16, 16), depths=(1, ) * 5, num_heads=4), T=2, neuron=LIF,
                         out_indices=(3, )))


ILIF = dict(type='ILIFNode', D=4, decay=0.25)
# Backbones that integers were made for.
ILIF_BACKBONES = dict(
    ESpikeFormer=dict(arch=dict(channels=(4, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2, kind='separable'), T=1,
                      neuron=dict(type='SFANode', D=4, norm=4)),
    MaxFormer=dict(arch=dict(depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(None, 3), patch_size=4), T=2,
                   neuron=ILIF),
    MaxResNet=dict(arch=dict(layers=(1, 1), widths=(8, 16), stem=4), T=1, neuron=ILIF))


def firing(cfg, frames):
    """The network of a config in eval mode, with running statistics with which its neurons fire on the frames."""
    from bkdsnn.registry import MODELS
    model = MODELS.build(cfg)
    with torch.no_grad():
        for _ in range(10):
            model(frames)
    return model.eval()


def small_network(backbone, **changes):
    """A network of ``SMALL_BACKBONES`` whose neurons fire, and frames (3, 2, 2, 32, 32) for it."""
    frames = torch.rand(3, 2, 2, 32, 32) * 4
    in_channels = 16 if backbone in ('SEWResNet', 'SEWDVSNet', 'MetaSpikeFormer') else 32
    head = dict(type='SpikingLinearHead', num_classes=10, in_channels=in_channels,
                neuron=LIF if backbone == 'MetaSpikeFormer' else None)
    cfg = dict(type=backbone, in_channels=2, **{**SMALL_BACKBONES[backbone], **changes})
    return firing(dict(type='SpikingClassifier', backbone=cfg, head=head), frames), frames


def demo_config(name, work_dir, teacher=None, epochs=2, **options):
    """A demo config cut down to a few epochs and channels; ``teacher`` is the folder of ``small_teacher``."""
    cfg = Config.fromfile(DEMO / f'{name}.py')
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = cfg.work_dir  # runs of one name that start in the same second would share their logs
    student = 'model.student' if 'student' in cfg.model else 'model'
    if cfg.model.get('student', cfg.model).backbone.type == 'SEWResNet':
        cfg.merge_from_dict({student + '.backbone.arch.widths': (4, 8, 16), student + '.head.in_channels': 16})
    cfg.merge_from_dict({'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs,
                         'train_dataloader.dataset.labels_per_class': 10, 'default_hooks.checkpoint.interval': 1,
                         'default_hooks.logger.interval': 1, **options})
    if teacher is not None:
        cfg.model.teacher = dict(type='FrozenTeacher', model=str(teacher / 'small.py'), checkpoint=str(teacher))
    return cfg


def assert_same_checkpoint(a, b):
    """Equal to the last bit: weights, loss parts, optimizer, schedulers, counters."""

    def compare(x, y, path):
        assert type(x) is type(y), path
        if isinstance(x, torch.Tensor):
            assert torch.equal(x, y), path
        elif isinstance(x, dict):
            assert x.keys() == y.keys(), path
            for key in x:
                compare(x[key], y[key], f'{path}.{key}')
        elif isinstance(x, (list, tuple)):
            assert len(x) == len(y), path
            for i, (u, v) in enumerate(zip(x, y)):
                compare(u, v, f'{path}[{i}]')
        else:
            assert x == y, path

    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        compare(a[key], b[key], key)
    for key in ('epoch', 'iter', 'seed'):
        assert a['meta'][key] == b['meta'][key]


def stroke(points, width=20, size=280):
    """A line of a pen on a white canvas: gray (size, size)."""
    picture = Image.new('L', (size, size), 255)
    ImageDraw.Draw(picture).line(points, fill=0, width=width, joint='curve')
    return np.asarray(picture)


def small_playground(kind, per_class=5):
    """A playground of the demo's networks, with a test set of a few samples of each class."""
    from bkdsnn import get_model
    networks = {name: get_model(f'demo/{kind.prefix}{name}', pretrained=True) for name in ('plain', 'mixed', 'teacher')}
    for network in networks.values():
        network.cfg.test_dataloader.dataset.labels_per_class = per_class
    return kind(networks)


def tool_environment(**env):
    """Environment of a tool: this interpreter, one thread, no GPU."""
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHON': sys.executable, **env}


def run_tool(*arguments, cwd=REPOSITORY, **env):
    """Run a tool of the repository; returns the finished process with its output.

    The process is forked from a server that has imported what all tools import, which takes seconds.
    """
    return _run_all(arguments, cwd, [env])[0]


def run_tool_in_processes(number, *arguments, cwd=REPOSITORY, **env):
    """As :func:`run_tool`, in several processes that work together as under ``tools/dist_train.sh``; returns all."""
    with socket.socket() as held:  # until they have ended, so that nobody else is given its port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(('127.0.0.1', 0))
        together = dict(WORLD_SIZE=str(number), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(held.getsockname()[1]))
        return _run_all([*arguments, '--launcher', 'pytorch'], cwd,
                        [dict(env, RANK=str(rank), LOCAL_RANK=str(rank), **together) for rank in range(number)])


def run_in_processes(number, function, folder):
    """Call ``function(rank, number, folder)`` in processes that are connected by gloo."""
    processes = [TOOLS.Process(target=_run_connected, args=(function, rank, number, folder)) for rank in range(number)]
    _wait_for(processes, function.__name__)
    assert not any(process.exitcode for process in processes)


def _run_connected(function, rank, number, folder):
    torch.set_num_threads(1)
    with disconnected_afterwards():
        torch.distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=number)
        function(rank, number, folder)
    _check_disconnected()


def _check_disconnected():
    # A thread that is left can abort the process at its end; see disconnected_afterwards.
    names = []
    for path in Path('/proc/self/task').glob('*/comm'):
        with suppress(OSError):  # it has ended since
            names.append(path.read_text().strip())
    assert not any('gloo' in name for name in names), names


def _wait_for(processes, name):
    for process in processes:
        process.start()
    deadline = time.time() + 240
    for process in processes:
        process.join(max(0, deadline - time.time()))
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    if late:
        raise TimeoutError(f'{name} takes more than 240 s.')


def _run_all(arguments, cwd, envs):
    tool, *arguments = map(str, arguments)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [(Path(folder) / f'stdout{i}', Path(folder) / f'stderr{i}') for i in range(len(envs))]
        processes = [
            TOOLS.Process(target=_run, args=(REPOSITORY / tool, arguments, cwd, tool_environment(**env), output))
            for env, output in zip(envs, outputs)]
        _wait_for(processes, tool)
        return [subprocess.CompletedProcess([tool, *arguments], process.exitcode,
                                            *(path.read_text(errors='replace') for path in output))
                for process, output in zip(processes, outputs)]


def _run(tool, arguments, cwd, env, output):
    for number, path in zip((1, 2), output):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    torch.set_num_threads(1)  # it was imported before it could read the environment
    save_time()
    sys.argv = [str(tool), *arguments]
    sys.path[:0] = [str(tool.parent), *filter(None, env.get('PYTHONPATH', '').split(os.pathsep))]
    runpy.run_path(str(tool), run_name='__main__')
    _check_disconnected()
