"""Small hooks for mmengine's Runner."""
from .checkpoint_check_hook import CheckpointCheckHook
from .checkpoint_hook import CheckpointHook
from .dead_block_hook import DeadBlockHook
from .epoch_seed_hook import EpochSeedHook
from .loss_guard_hook import LossGuardHook
from .resume_check_hook import ResumeCheckHook
from .spike_visualization_hook import SpikeVisualizationHook
from .sync_buffers_hook import SyncBuffersHook
from .synops_hook import SynOpsHook
from .teacher_cache_hook import TeacherCacheHook
from .teacher_check_hook import TeacherCheckHook
from .weights_guard_hook import WeightsGuardHook

__all__ = ['CheckpointCheckHook', 'CheckpointHook', 'DeadBlockHook', 'EpochSeedHook', 'LossGuardHook',
           'ResumeCheckHook', 'SpikeVisualizationHook', 'SyncBuffersHook', 'SynOpsHook', 'TeacherCacheHook',
           'TeacherCheckHook', 'WeightsGuardHook']
