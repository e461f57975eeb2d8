"""Distillation losses, one method per file."""
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss, blur_mask, feature_distance
from .hard_kd_loss import HardLogitsKDLoss
from .kd_loss import LogitsKDLoss, kd_loss
from .maps import spatial_map
from .schedule import Schedule, Scheduled
from .wsld_loss import WSLDLoss, wsld_loss

__all__ = ['BKDLoss', 'DistillLoss', 'HardLogitsKDLoss', 'LogitsKDLoss', 'LogitsLoss', 'Schedule', 'Scheduled',
           'WSLDLoss', 'blur_mask', 'feature_distance', 'kd_loss', 'spatial_map', 'wsld_loss']
