"""Shipped configs with something changed at random: an error that a user can mend, or a network that builds."""
from functools import cache

from mmengine.config import Config
from test_configs import SMALL_ARCH

from bkdsnn.config.checks.parts import parts_of
from helpers import REPOSITORY

CONFIGS = ('demo/mixed', 'demo/events_mixed', 'demo/spikingformer_bkd_vit', 'demo/spikingformer_teacher_vit',
           'ann/vit-small-p16_8xb64-50e_cifar10-224px', 'bkd/sew_resnet_cifar10', 'bkd/spikformer_imagenet',
           'kd/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs',
           'snn/qkformer-10-384-t4_4xb48-310e_in1k', 'snn/e-spikeformer-12-512-t1_8xb128-150e_in1k',
           'bkd/maxformer-10-384-t4_vit-base_8xb64-200e_in1k')


@cache
def shipped(name):
    """A config of the package, with the smallest honest student."""
    cfg = Config.fromfile(REPOSITORY / 'configs' / f'{name}.py')
    student = cfg.model.get('student', cfg.model)
    if not name.startswith('demo') and student.get('backbone', {}).get('type') in SMALL_ARCH:
        student.backbone.arch = SMALL_ARCH[student.backbone.type]
        student.head.in_channels = 16
    return cfg, [part.path for part in parts_of(cfg)]
