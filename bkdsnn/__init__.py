"""BKDSNN: train spiking neural networks by distilling them from ordinary networks."""
import warnings

# mmcv without compiled ops warns, on first use, about layers that nothing here uses.
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')

from .apis import get_model, init_model, list_models
from .version import __version__

__all__ = ['__version__', 'get_model', 'init_model', 'list_models']
