"""Distillation losses, one method per file."""
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss, blur_mask
from .functional import kd_loss
from .hard_kd_loss import HardLogitsKDLoss
from .kd_loss import LogitsKDLoss
from .maps import feature_distance
from .schedule import Schedule, Scheduled
from .wsld_loss import WSLDLoss, wsld_loss

__all__ = ['BKDLoss', 'DistillLoss', 'HardLogitsKDLoss', 'LogitsKDLoss', 'LogitsLoss', 'Schedule', 'Scheduled',
           'WSLDLoss', 'blur_mask', 'feature_distance', 'kd_loss', 'wsld_loss']
