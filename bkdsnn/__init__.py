"""BKDSNN: train spiking neural networks by distilling them from ordinary networks."""
from .apis import get_model, init_model, list_models
from .version import __version__

__all__ = ['__version__', 'get_model', 'init_model', 'list_models']
