"""All model components; importing this registers them."""
from bkdsnn.utils import quiet  # noqa: F401  first, as it imports mmpretrain without its noise

from .backbones import *  # noqa: F401,F403
from .classifiers import *  # noqa: F401,F403
from .data_preprocessor import EventDataPreprocessor, ImageDataPreprocessor  # noqa: F401
from .distillers import *  # noqa: F401,F403
from .heads import *  # noqa: F401,F403
from .layers import *  # noqa: F401,F403
from .losses import *  # noqa: F401,F403
from .neurons import *  # noqa: F401,F403
from .streaming import Stream  # noqa: F401
from .tasks import *  # noqa: F401,F403
from .teachers import *  # noqa: F401,F403
from .time_chunks import TimeChunks  # noqa: F401
from .unfolding import set_spike_driven, spike_driven  # noqa: F401
