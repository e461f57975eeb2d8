"""Finished and unfinished training runs on disk."""
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.config import Config

from .checkpoint import latest_checkpoint


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
        configs = sorted(folder.glob('*.py'))
        if not configs:
            raise FileNotFoundError(f'{folder} holds no run (no config); train one with python tools/train.py CONFIG '
                                    f'--work-dir {folder}')
        return cls(folder, Config.fromfile(configs[0]))

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
        """Whether the last epoch was saved."""
        return self.epoch == self.config.train_cfg.max_epochs

    def scalars(self) -> List[Dict[str, float]]:
        """What was logged, one dict per log line, oldest first; of resumed runs, all parts."""
        lines: List[Dict[str, float]] = []
        for path in sorted(self.folder.glob('*/vis_data/scalars.json')):
            # A run that was killed may leave half a line.
            lines += [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')]
        return lines

    def val_accuracy(self) -> Optional[float]:
        """Last top-1 accuracy on the validation data, in percent."""
        logged = [line['accuracy/top1'] for line in self.scalars() if 'accuracy/top1' in line]
        return logged[-1] if logged else None


def same_config(a: Config, b: Config) -> bool:
    """Whether two configs describe the same training, apart from how it is resumed."""
    def text(cfg: Config) -> str:
        cfg = Config({k: v for k, v in cfg.items() if k not in ('resume', 'load_from', 'launcher')})
        return cfg.pretty_text
    return text(a) == text(b)
