"""What tells the runs of a comparison apart."""
import hashlib
import json
import os.path as osp
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.starting import NEW
from ..config.checks import found_at

# What decides about a run's figures.
DECISIVE = ('model', 'data_preprocessor', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg',
            'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'custom_hooks', 'compile', 'sync_bn')
# And what does not, wherever it stands.
INDIFFERENT = ('expected_accuracy', 'pin_memory', 'data_root', 'val_interval', 'cache_dir')


def config_hash(cfg: Config) -> str:
    """Twelve digits that tell apart configs whose runs have other figures, whatever their seeds, folders and paths."""
    decisive = _without_places({key: cfg[key] for key in DECISIVE if cfg.get(key) is not None})
    if cfg.get('load_from'):  # of weights to start from, the name alone says little
        decisive['load_from'] = [cfg.load_from, found_at(cfg, NEW)]
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_places(node: Any, of_teacher: bool = False) -> Any:
    if isinstance(node, dict):
        # The sum of a teacher's weights stands in each line; of other parts' weights, the path tells them apart.
        return {key: value if key == 'checkpoint' else _without_places(value, of_teacher or key == 'teacher')
                for key, value in node.items() if key not in INDIFFERENT and not (of_teacher and key == 'checkpoint')}
    if isinstance(node, (list, tuple)):
        return [_without_places(value, of_teacher) for value in node]
    # Configs name each other by where they lie.
    return Path(node).name if isinstance(node, str) and osp.isabs(node) else node
