"""What a config needs to be trained, and not to be tested or exported."""
from mmengine.config import Config

from ..sharded_optimizer import check_processes
from .parts import parts_of


def check_training(cfg: Config) -> None:
    """Check what only training needs.

    Raises:
        ValueError: If an optimizer shares its state with no others, or nothing trains a part of a plain network's head.
    """
    check_processes(cfg)
    head = next((part for part in parts_of(cfg, ('model', )) if part.path == 'model.head'), None)
    if taught := getattr(head and head.found, 'taught', ()):
        raise ValueError(f'model.head: {head.found.__name__} answers with head.{taught[0]} too, which only a loss of a '
                         "distillation trains. Take model.head.type='SpikingLinearHead' for the network alone.")
