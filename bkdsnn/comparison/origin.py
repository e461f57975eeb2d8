"""Where a result comes from: machine, versions, teacher and date."""
import os.path as osp
import platform
import subprocess
import time
from functools import lru_cache
from typing import List, Optional

import mmengine
import mmpretrain
import numpy as np
import torch
from mmengine.config import Config

from ..checkpoints.files import resolve
from ..checkpoints.published import sha256
from ..config.checks import asks_for_teacher, parts_of
from ..config.networks import teacher_configs
from ..config.roots import config_root
from ..utils.processor import processor
from ..version import __version__


def origin_of(cfg: Config) -> dict:
    """What stands in a result beside its figures."""
    return dict(machine=dict(machine(), threads=torch.get_num_threads()), versions=versions(), teacher=teachers_of(cfg),
                date=now())


def now() -> str:
    """Date and time, ISO 8601, UTC."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())


@lru_cache
def machine() -> dict:
    """Its name, and the processor that networks are trained on."""
    return dict(name=platform.node(),
                device=torch.cuda.get_device_name() if torch.cuda.is_available() else processor())


@lru_cache
def versions() -> dict:
    """Of the package, of what it computes with, and the commit of the repository, if it is one."""
    found = dict(bkdsnn=__version__, torch=torch.__version__, mmengine=mmengine.__version__,
                 mmpretrain=mmpretrain.__version__, numpy=np.__version__, python=platform.python_version())
    try:
        found['commit'] = subprocess.run(['git', 'describe', '--always', '--dirty'], cwd=config_root(), check=True,
                                         capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass  # an installed package, which its version names
    return found


def teachers_of(cfg: Config) -> List[Optional[str]]:
    """The first digits of the SHA-256 of each asked teacher's weights; ``None`` for those that are in no file."""
    teacher = cfg.model.get('teacher')
    if teacher and not asks_for_teacher(parts_of(cfg, ('model', ))):
        return []
    files = [osp.expanduser(one.get('checkpoint') or '') for one in teacher_configs(teacher)] if teacher else []
    return [weights_hash(resolve(file)) if osp.exists(file) else None for file in files]


@lru_cache
def weights_hash(path: str) -> str:
    """The first eight digits of a file's SHA-256."""
    return sha256(path)[:8]
