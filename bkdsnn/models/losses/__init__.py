"""Distillation losses, one method per file."""
from .at_loss import ATLoss, at_loss
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss, blur_mask
from .dist_loss import DISTLoss, dist_loss
from .dkd_loss import DKDLoss, dkd_loss
from .esd_loss import ESDLoss, esd_loss
from .etc_loss import ETCLoss, etc_loss
from .functional import stepwise_cross_entropy
from .hard_kd_loss import HardLogitsKDLoss
from .hsd_loss import HSDLoss
from .hta_kl_loss import HTAKLLoss, hta_kl_loss
from .kd_loss import LogitsKDLoss, kd_loss
from .kdsnn_loss import KDSNNLoss
from .laf_loss import LAFLoss
from .lasnn_loss import LaSNNLoss
from .maps import feature_distance, spatial_map
from .meom_loss import MEOMLoss, progressive_loss
from .nld_loss import NLDLoss, nld_loss
from .reviewkd_loss import ReviewKDLoss, hcl_loss
from .rkd_loss import RKDLoss, rkd_loss
from .samd_loss import SAMDLoss, samd_loss
from .schedule import Schedule, Scheduled
from .seal_loss import SeAlLoss
from .soft_token_loss import SoftTokenKDLoss
from .stepwise_ce_loss import StepwiseCELoss
from .strong2weak_loss import Strong2WeakLoss
from .tet_loss import TETLoss, tet_loss
from .tks_loss import TKSLoss, tks_loss
from .twd_loss import TWDLoss, twd_loss
from .wsld_loss import WSLDLoss, wsld_loss

__all__ = ['ATLoss', 'BKDLoss', 'DISTLoss', 'DKDLoss', 'DistillLoss', 'ESDLoss', 'ETCLoss', 'HSDLoss', 'HTAKLLoss',
           'HardLogitsKDLoss', 'KDSNNLoss', 'LAFLoss', 'LaSNNLoss', 'LogitsKDLoss', 'LogitsLoss', 'MEOMLoss',
           'NLDLoss', 'RKDLoss', 'ReviewKDLoss', 'SAMDLoss', 'Schedule', 'Scheduled', 'SeAlLoss', 'SoftTokenKDLoss',
           'StepwiseCELoss', 'Strong2WeakLoss', 'TETLoss', 'TKSLoss', 'TWDLoss', 'WSLDLoss', 'at_loss', 'blur_mask',
           'dist_loss', 'dkd_loss', 'esd_loss', 'etc_loss', 'feature_distance', 'hcl_loss', 'hta_kl_loss', 'kd_loss',
           'nld_loss', 'progressive_loss', 'rkd_loss', 'samd_loss', 'spatial_map', 'stepwise_cross_entropy',
           'tet_loss', 'tks_loss', 'twd_loss', 'wsld_loss']
