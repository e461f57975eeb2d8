"""Small hooks for mmengine's Runner."""
from .epoch_seed_hook import EpochSeedHook
from .loss_guard_hook import LossGuardHook
from .spike_visualization_hook import SpikeVisualizationHook
from .synops_hook import SynOpsHook
from .teacher_check_hook import TeacherCheckHook

__all__ = ['EpochSeedHook', 'LossGuardHook', 'SpikeVisualizationHook', 'SynOpsHook', 'TeacherCheckHook']
