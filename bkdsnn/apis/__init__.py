"""What a program calls: models by config or by name, and their predictions."""
from .model import config_root, get_model, init_model, list_models, student_config

__all__ = [
    'SpikingInferencer', 'config_root', 'get_model', 'inference_model', 'init_model', 'list_models', 'student_config'
]


def __getattr__(name: str):
    """Load the inferencer when it is asked for, as it brings all models and data sets with it."""
    if name in ('SpikingInferencer', 'inference_model'):
        from . import inferencer  # heavy
        return getattr(inferencer, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
