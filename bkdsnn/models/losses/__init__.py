"""Distillation losses, one method per file."""
from .base import DistillLoss, LogitsLoss
from .bkd_loss import BKDLoss, blur_mask
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
from .maps import feature_distance
from .meom_loss import MEOMLoss, progressive_loss
from .nld_loss import NLDLoss, nld_loss
from .samd_loss import SAMDLoss, samd_loss
from .schedule import Schedule, Scheduled
from .seal_loss import SeAlLoss
from .stepwise_ce_loss import StepwiseCELoss
from .strong2weak_loss import Strong2WeakLoss
from .tet_loss import TETLoss, tet_loss
from .tks_loss import TKSLoss, tks_loss
from .twd_loss import TWDLoss, twd_loss
from .wsld_loss import WSLDLoss, wsld_loss

__all__ = ['BKDLoss', 'DistillLoss', 'ESDLoss', 'ETCLoss', 'HSDLoss', 'HTAKLLoss', 'HardLogitsKDLoss', 'KDSNNLoss',
           'LAFLoss', 'LaSNNLoss', 'LogitsKDLoss', 'LogitsLoss', 'MEOMLoss', 'NLDLoss', 'SAMDLoss', 'Schedule',
           'Scheduled', 'SeAlLoss', 'StepwiseCELoss', 'Strong2WeakLoss', 'TETLoss', 'TKSLoss', 'TWDLoss', 'WSLDLoss',
           'blur_mask', 'esd_loss', 'etc_loss', 'feature_distance', 'hta_kl_loss', 'kd_loss', 'nld_loss',
           'progressive_loss', 'samd_loss', 'stepwise_cross_entropy', 'tet_loss', 'tks_loss', 'twd_loss', 'wsld_loss']
