"""BKDSNN: train spiking neural networks by distilling them from ordinary networks."""
from . import apis, moved
from .apis import get_model, init_model, list_models
from .version import __version__

__all__ = [
    '__version__', 'SpikingInferencer', 'get_model', 'inference_model', 'init_model', 'list_models'
]
moved.install()


def __getattr__(name: str):
    """Load what ``bkdsnn.apis`` loads when it is asked for."""
    if name in ('SpikingInferencer', 'inference_model'):
        return getattr(apis, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
