"""What the command-line tools share: their common arguments, the runner, and errors that help."""
import argparse
import gc
import logging
import os
import os.path as osp
import re
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Sequence

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_distributed
from mmengine.runner import Runner

from ..config.checks import check_config, check_disk, check_training, merge_options
from ..config.files import read_config_file
from ..config.methods import apply_method, find_pair
from ..models.neurons.kernels import name_vector_length
from ..registry import HOOKS
from ..runs.folders import default_work_dir
from ..runs.full_disk import stop_where_log_is_lost
from ..utils.shape_errors import misfit

# What every training needs in order to be right, or to say that it is not, whatever hooks its config lists.
ALWAYS = ('SyncBuffersHook', 'ResumeCheckHook', 'CheckpointCheckHook', 'WeightsGuardHook', 'TeacherCacheHook',
          'DeadBlockHook')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of both ``tools/train.py`` and ``tools/test.py``, spelled as in mmpretrain."""
    parser.add_argument('--work-dir', help='the directory to save logs and models')
    parser.add_argument('--no-pin-memory', action='store_true', help='switch pin_memory off in all data loaders')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction,
        help='settings to override, as key=value; nested keys with dots, lists as key="[a,b]" or key=a,b')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # Launchers of older PyTorch pass this one.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def file_to_write(path: str) -> str:
    """Type of an argument that names a file for results, so that a missing folder is found before they are computed."""
    if not osp.isdir(osp.dirname(osp.abspath(path))):
        raise argparse.ArgumentTypeError(f'the folder of {path!r} does not exist; make it first.')
    return path


def positive(text: str) -> int:
    """Type of an argument that counts something."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number of at least 1.')
    return int(text)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config, or the pair of a name, and merge the common arguments into it."""
    path, method = find_pair(args.config), getattr(args, 'method', None)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config_file(path)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = default_work_dir(args.config)
    if method is not None:
        apply_method(cfg, method)
        if args.work_dir is None:  # that of the config is for its own losses, or another's from which it inherits
            cfg.work_dir = f'{default_work_dir(args.config)}_{Path(method).stem}'
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(cfg.get(name), dict):
            cfg[name].setdefault('pin_memory', torch.cuda.is_available())
            if args.no_pin_memory:
                cfg[name].pin_memory = False
    if args.cfg_options is not None:
        merge_options(cfg, args.cfg_options)
    return cfg


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log line is not about mmengine's hooks using mmengine's deprecated classes."""
    return not str(record.msg).startswith(('"FileClient" will be deprecated', '"HardDiskBackend" is the alias'))


def check_all(cfg: Config, splits: Sequence[str] = ('train', 'val')) -> None:
    """Check the config, and whether the files that it needs are there.

    Args:
        cfg: The config.
        splits: Whose data it will use; with ``'train'`` it is to be trained.
    """
    check_config(cfg)
    if 'train' in splits:
        check_training(cfg)
    check_disk(cfg, [split for split in splits if cfg.get(f'{split}_dataloader') is not None])


def read_config(args: argparse.Namespace) -> Config:
    """The config of ``args.config`` with the settings of ``args.cfg_options``."""
    cfg = read_config_file(args.config)
    if args.cfg_options:
        merge_options(cfg, args.cfg_options)
    return cfg


def build_runner(cfg: Config, splits: Sequence[str] = ('train', 'val')) -> Runner:
    """Check the config and build the runner, on CPU processes too; arguments as in :func:`check_all`."""
    check_all(cfg, splits)
    return build_checked_runner(cfg)


def build_checked_runner(cfg: Config) -> Runner:
    """Build the runner of a config that is checked."""
    if cfg.get('compile'):
        name_vector_length()
    launcher = cfg.get('launcher')
    if launcher == 'slurm' and 'SLURM_JOB_ID' in os.environ:
        # mmengine's is the same for all jobs on a machine.
        os.environ.setdefault('MASTER_PORT', str(20000 + int(os.environ['SLURM_JOB_ID']) % 10000))
    if launcher in ('pytorch', 'slurm') and not torch.cuda.is_available():
        # mmengine would select a CUDA device.
        if launcher == 'slurm':
            _take_names_of_slurm()
        torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    runner = Runner.from_cfg(cfg)
    loop = runner._train_loop
    if isinstance(loop, dict) and loop.get('by_epoch'):
        # Not in the config, where it would be a setting that mmengine's users do not know.
        runner._train_loop = dict({k: v for k, v in loop.items() if k != 'by_epoch'}, type='bkdsnn.ExactEpochLoop')
    runner.logger.addFilter(_is_news)
    stop_where_log_is_lost(runner.logger)
    for kind in map(HOOKS.get, ALWAYS):
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    return runner


def _take_names_of_slurm() -> None:
    """Tell PyTorch what Slurm says of this process, as mmengine does where there are GPUs."""
    names = dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID')
    if missing := [name for name in (*names.values(), 'SLURM_NODELIST') if name not in os.environ]:
        raise ValueError(f'--launcher=slurm needs {", ".join(missing)}, which srun sets; see tools/slurm_train.sh.')
    os.environ.update({name: os.environ[slurm] for name, slurm in names.items()})
    if 'MASTER_ADDR' not in os.environ:
        hosts = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.run(hosts, check=True, capture_output=True, text=True).stdout.split()[0]


@contextmanager
def disconnected_afterwards():
    """End what connects this process to others while Python still runs.

    gloo's threads let go of Python's objects a moment after a collective is done. Where the process has begun to end by
    then they abort it, and a training that is finished counts as failed.
    """
    yield
    if is_distributed():
        gc.collect()  # a model that is wrapped keeps the threads alive, and hooks and runner hold one another
        torch.distributed.destroy_process_group()


# What bad input raises; assertions are those of other libraries. Others keep their trace, since they are ours to mend.
MENDABLE = (ValueError, KeyError, TypeError, OSError, FloatingPointError, ModuleNotFoundError, AssertionError)
# What PyTorch writes into an error of a data loader's worker.
WORKER = ' in DataLoader worker process '


@contextmanager
def fail_clearly(interrupted: str = 'A training run goes on from its last checkpoint with --resume.'):
    """Turn the errors that a user can mend into one paragraph; ``BKDSNN_DEBUG=1`` shows the whole trace.

    Args:
        interrupted: What to say of Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(f'Interrupted. {interrupted}')
    except (*MENDABLE, RuntimeError) as error:
        message = misfit(error) if isinstance(error, RuntimeError) else str(
            error.args[0] if isinstance(error, KeyError) and error.args else error)
        if message is None or os.environ.get('BKDSNN_DEBUG'):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        message = message or f'{type(error).__name__} at {frame.line!r}'
        place = f'{osp.basename(frame.filename)}:{frame.lineno}'
        if WORKER in message:  # then it is a whole trace, which ends in the error
            message = re.split(r'\n[\w.]*(?:Error|Exception): ', message)[-1].strip()
            place = 'in a worker that loads data'
        sys.exit(f'Error: {message} ({place}; BKDSNN_DEBUG=1 shows the trace.)')
