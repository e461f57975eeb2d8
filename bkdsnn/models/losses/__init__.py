"""Distillation losses, one method per file."""
from .at_loss import ATLoss, at_loss
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss, blur_mask, feature_distance
from .dist_loss import DISTLoss, dist_loss
from .dkd_loss import DKDLoss, dkd_loss
from .hard_kd_loss import HardLogitsKDLoss
from .kd_loss import LogitsKDLoss, kd_loss
from .maps import spatial_map
from .reviewkd_loss import ReviewKDLoss, hcl_loss
from .rkd_loss import RKDLoss, rkd_loss
from .schedule import Schedule, Scheduled
from .soft_token_loss import SoftTokenKDLoss
from .wsld_loss import WSLDLoss, wsld_loss

__all__ = ['ATLoss', 'BKDLoss', 'DISTLoss', 'DKDLoss', 'DistillLoss', 'HardLogitsKDLoss', 'LogitsKDLoss', 'LogitsLoss',
           'RKDLoss', 'ReviewKDLoss', 'Schedule', 'Scheduled', 'SoftTokenKDLoss', 'WSLDLoss', 'at_loss', 'blur_mask',
           'dist_loss', 'dkd_loss', 'feature_distance', 'hcl_loss', 'kd_loss', 'rkd_loss', 'spatial_map', 'wsld_loss']
