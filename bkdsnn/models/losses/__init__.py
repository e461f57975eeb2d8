"""Distillation losses, one method per file."""
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss
from .hard_kd_loss import HardLogitsKDLoss
from .kd_loss import LogitsKDLoss
from .schedule import Schedule, Scheduled
from .wsld_loss import WSLDLoss

__all__ = ['BKDLoss', 'DistillLoss', 'HardLogitsKDLoss', 'LogitsKDLoss', 'LogitsLoss', 'Schedule', 'Scheduled',
           'WSLDLoss']
