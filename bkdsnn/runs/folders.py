"""Finished and unfinished training runs on disk."""
import json
import re
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from mmengine.config import Config

from ..checkpoints.files import latest_checkpoint
from ..checkpoints.progress import Progress
from ..config.files import read_config_file
from ..config.roots import config_root


@dataclass
class Run:
    """A work directory of ``tools/train.py``.

    Attributes:
        folder: The work directory.
        config: Its config, as the run dumped it.
    """

    folder: Path
    config: Config

    @classmethod
    def open(cls, folder: str) -> 'Run':
        """Open a work directory.

        Raises:
            FileNotFoundError: If it holds no run.
        """
        folder = Path(folder)
        config = config_in(folder)
        if config is None:
            raise FileNotFoundError(f'{folder} holds no run (no config); train one with python tools/train.py CONFIG '
                                    f'--work-dir {folder}')
        return cls(folder, read_config_file(config))

    @property
    def seed(self) -> Optional[int]:
        """Its random seed, ``None`` where the config has none."""
        return (self.config.get('randomness') or {}).get('seed')

    @property
    def distils(self) -> bool:
        """Whether it learns from a teacher."""
        return self.config.model.get('teacher') is not None

    @property
    def checkpoint(self) -> Optional[Path]:
        """The latest checkpoint, if there is one."""
        path = latest_checkpoint(str(self.folder))
        return Path(path) if path else None

    @property
    def epoch(self) -> int:
        """Epochs done, by the latest checkpoint."""
        number = re.search(r'epoch_(\d+)\.pth$', str(self.checkpoint))
        return int(number.group(1)) if number else 0

    @property
    def finished(self) -> bool:
        """Whether the last epoch was saved, and validated where the config asks for it."""
        if self.epoch != self.config.train_cfg.max_epochs:
            return False
        if self.config.get('val_cfg') is None or not Progress.is_recorded(self.folder):
            return True
        return Progress.of(self.folder).validated_epochs == self.epoch

    def scalars(self) -> List[Dict[str, float]]:
        """What was logged, one dict per log line, oldest first; of resumed runs, all parts."""
        return [line for part in self.scalar_parts() for line in part]

    def scalar_parts(self) -> List[List[Dict[str, float]]]:
        """As :meth:`scalars`, with a list for each time that the run was started or resumed."""
        # A run that was killed may leave half a line.
        return [[json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')]
                for path in sorted(self.folder.glob('*/vis_data/scalars.json'))]

    def val_accuracy(self) -> Optional[float]:
        """Last top-1 accuracy on the validation data, in percent."""
        logged = [line['accuracy/top1'] for line in self.scalars() if 'accuracy/top1' in line]
        return logged[-1] if logged else None


def config_in(folder: Path) -> Optional[Path]:
    """The config of the run in a work directory: of several the last that was written, as a run writes it anew."""
    return max(sorted(folder.glob('*.py')), key=lambda path: path.stat().st_mtime, default=None)


def default_work_dir(config: str) -> str:
    """Where a config without ``work_dir`` is trained: ``work_dirs/<its name>``.

    Of the configs that come along, some have the same name, one for each method; there the method's folder follows, as
    in ``work_dirs/<name>_kd``.
    """
    path = Path(config)
    alike = list(config_root().glob(f'[!_]*/{escape(path.stem)}.py'))
    is_one_of_several = len(alike) > 1 and path.resolve() in [other.resolve() for other in alike]
    return str(Path('work_dirs') / (f'{path.stem}_{path.resolve().parent.name}' if is_one_of_several else path.stem))


def find_runs(path: str) -> List[Run]:
    """The run in a work directory, or all runs below a folder, in the order of their paths (seed2 before seed10).

    Args:
        path: A work directory, a folder above some, or a file inside one, such as its ``scalars.json``.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    inside = [folder for folder in (path, *path.parents[:3]) if _is_run(folder)] if path.is_file() else [path]
    folders = [folder for folder in inside if _is_run(folder)] or [
        config.parent for config in map(Path, glob(f'{escape(str(path))}/**/*.py', recursive=True))
        if _is_run(config.parent)]
    if not folders:
        raise FileNotFoundError(f'{path} {"holds" if path.exists() else "does not exist, so it is"} no run (a work '
                                'directory with its config and log); train one with python tools/train.py CONFIG '
                                f'--work-dir {path}')
    return [Run.open(folder) for folder in sorted(set(folders), key=natural)]


def natural(path: Path) -> List[Tuple[str, int]]:
    """Key that sorts paths by their names, and numbers in them by value."""
    return [(text, int(number or 0)) for text, number in re.findall(r'(\D*)(\d*)', str(path))]


def _is_run(folder: Path) -> bool:
    """Whether a folder has a config and either a log or a checkpoint, as a work directory of ``tools/train.py`` has.

    That of ``tools/test.py`` has a log too, of no loss.
    """
    if config_in(folder) is None:
        return False
    if latest_checkpoint(str(folder)) is not None:
        return True
    logs = [logged / 'scalars.json' for logged in folder.glob('*/vis_data')]
    texts = [log.read_text() if log.is_file() else '' for log in logs]
    return any('"loss"' in text or not text.strip() for text in texts)


def same_config(a: Config, b: Config) -> bool:
    """Whether two configs describe the same training, apart from how it is resumed."""
    def text(cfg: Config) -> str:
        cfg = Config({k: v for k, v in cfg.items() if k not in ('resume', 'load_from', 'launcher')})
        return cfg.pretty_text
    return text(a) == text(b)
