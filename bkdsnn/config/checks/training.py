"""What a config needs to be trained, and not to be tested or exported."""
from mmengine.config import Config

from bkdsnn.registry import MODELS

from ..sharded_optimizer import check_processes
from .parts import find


def check_training(cfg: Config) -> None:
    """Check what only training needs.

    Raises:
        ValueError: If an optimizer shares its state with no others, or nothing trains a part of a plain network's head.
    """
    check_processes(cfg)
    head = (cfg.get('model') or {}).get('head')
    if isinstance(head, dict):
        found = find(head.get('type'), 'model.head.type', MODELS, cfg.get('default_scope') or 'bkdsnn')
        if taught := getattr(found, 'taught', ()):
            raise ValueError(f'model.head: {found.__name__} answers with head.{taught[0]} too, which only a loss of a '
                             "distillation trains. Take model.head.type='SpikingLinearHead' for the network alone.")
