"""Every method trains an epoch on shipped pairs of every kind, through the runner; one of a user's own folder, too."""
from functools import lru_cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from bkdsnn.config.methods import apply_method, find_pair, methods
from bkdsnn.models.teachers import frozen_teacher
from bkdsnn.registry import MODELS

# SEW-ResNet, transformer with a ViT, events with two views.
PAIRS = ('sew-resnet-t2_resnet_digits', 'spikingformer-1-64-t2_vit_digits-32',
         'sew-resnet-t4_sew-resnet-t16_digits-dvs')


@lru_cache
def read(pair):
    return Config.fromfile(find_pair(pair))


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    """Checkpoints of the pairs' teachers, untrained."""
    folder = tmp_path_factory.mktemp('teachers')
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        for pair in PAIRS:
            torch.save(MODELS.build(Config.fromfile(read(pair).model.teacher.model).model).state_dict(),
                       folder / f'{pair}.pth')
    return folder


@pytest.fixture
def teachers_are_kept(monkeypatch):
    """A teacher is read once, although each run has its own."""
    monkeypatch.setattr(frozen_teacher, 'build_teacher', BUILT)


BUILT = lru_cache(len(PAIRS))(frozen_teacher.build_teacher)


def epoch_of(pair, method, teachers, work_dir, **changes):
    """Train one epoch of two steps."""
    cfg = read(pair).copy()
    apply_method(cfg, method)
    cfg.merge_from_dict({
        'work_dir': str(work_dir), 'experiment_name': str(work_dir), 'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 10,
        'train_dataloader.dataset.labels_per_class': 2, 'model.teacher.checkpoint': str(teachers / f'{pair}.pth'),
        'model.teacher.expected_accuracy': None, 'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': -1, 'train_dataloader.dataset.serialize_data': False, **changes})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.student.named_parameters()}
    runner.train()
    moved = {name for name, value in runner.model.student.named_parameters() if not torch.equal(value, before[name])}
    assert 'head.fc.weight' in moved and any('backbone' in name for name in moved)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    scalars = runner.message_hub.log_scalars
    return {key.removeprefix('train/'): scalars[key].current() for key in scalars if 'loss' in key}


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('method', methods())
def test_every_method_trains_an_epoch(pair, method, teachers, teachers_are_kept, tmp_path):
    losses = Config.fromfile(methods()[method]).losses
    changes = {}
    if method in ('hard_kd', 'soft_token'):  # they train a classifier of their own
        changes['model.student.head'] = dict(type='SpikingDistillationHead', neuron=read(pair).neuron)
    logged = epoch_of(pair, method, teachers, tmp_path, **changes)
    want = {name for name, loss in dict(dict(loss_cls={}), **losses).items() if loss is not None}
    assert set(logged) == {'loss', *want}


OWN = '''
from torch.nn import functional as F
from bkdsnn.models.layers import time_mean
from bkdsnn.models.losses import DistillLoss
from bkdsnn.registry import MODELS

@MODELS.register_module(force=True)
class LatestStepLoss(DistillLoss):
    """The last step's logits imitate the teacher's, more so the further training is."""

    def forward(self, student, teacher, progress):
        return (0.1 + progress) * self.loss_weight * F.mse_loss(student[-1], time_mean(teacher))
'''


@pytest.mark.parametrize('pair', PAIRS)
def test_a_method_from_a_users_folder_trains_on_every_pair(pair, teachers, user_folder, tmp_path):
    (user_folder / 'latest_step.py').write_text(OWN)
    (user_folder / 'latest.py').write_text(
        "custom_imports = dict(imports=['latest_step'], allow_failed_imports=False)\n"
        "losses = dict(loss_latest=dict(type='LatestStepLoss', loss_weight=0.5))\n")
    logged = epoch_of(pair, str(user_folder / 'latest.py'), teachers, tmp_path)
    assert set(logged) == {'loss', 'loss_cls', 'loss_latest'}


def test_two_teachers_train_an_epoch(teachers, tmp_path):
    """The mean of two is imitated by one loss, and one of the two by another."""
    pair = PAIRS[0]
    one = dict(read(pair).model.teacher, checkpoint=str(teachers / f'{pair}.pth'), expected_accuracy=None)
    fragment = tmp_path / 'two.py'
    fragment.write_text("losses = dict(loss_mean=dict(type='LogitsKDLoss', tau=4.0, teacher='average'),\n"
                        "              loss_one=dict(type='LogitsKDLoss', tau=4.0, teacher='first.head'))\n")
    cfg = read(pair).copy()
    apply_method(cfg, str(fragment))
    cfg.model.teacher = dict(type='TeacherEnsemble', teachers=dict(first=one, second=one))
    cfg.model.taps.teacher = {}
    cfg.merge_from_dict({'work_dir': str(tmp_path), 'experiment_name': 'two teachers', 'train_cfg.max_epochs': 1,
                         'default_hooks.checkpoint.interval': -1,
                         'train_dataloader.dataset.labels_per_class': 2, 'train_cfg.val_interval': 5})
    runner = Runner.from_cfg(cfg)
    runner.train()
    logged = {key for key in runner.message_hub.log_scalars if 'loss' in key}
    assert logged == {'train/loss', 'train/loss_cls', 'train/loss_mean', 'train/loss_one'}
