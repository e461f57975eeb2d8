"""What runs around the model: hooks, schedules, mixed precision, and files that are written whole or not at all."""
from .amp import AmpOptimWrapper
from .atomic_backend import AtomicLocalBackend
from .hooks import *  # noqa: F401,F403
from .loops import ExactEpochLoop
from .optim_constructor import DefaultOptimWrapperConstructor
from .schedules import WarmupCosineLR
from .zero_optimizer import ZeroRedundancyOptimizer

__all__ = ['AmpOptimWrapper', 'AtomicLocalBackend', 'DefaultOptimWrapperConstructor', 'ExactEpochLoop',
           'WarmupCosineLR', 'ZeroRedundancyOptimizer']
