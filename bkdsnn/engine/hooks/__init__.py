"""Small hooks for mmengine's Runner."""
from .epoch_seed_hook import EpochSeedHook
from .loss_guard_hook import LossGuardHook
from .teacher_check_hook import TeacherCheckHook

__all__ = ['EpochSeedHook', 'LossGuardHook', 'TeacherCheckHook']
