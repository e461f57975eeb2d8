"""Students, teachers and pairs for Fashion-MNIST, on a few generated images in its format."""
import pytest
import torch
from generated_data import write_fashion_mnist
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from bkdsnn.config.checks import check_config
from bkdsnn.config.methods import apply_method, pairs
from bkdsnn.evaluation import measure_complexity
from bkdsnn.registry import MODELS
from helpers import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
NETWORKS = sorted(path.stem for path in (CONFIGS / 'fashion').glob('*.py'))
PAIRS = sorted(name for name in pairs() if 'fashion' in name)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_fashion_mnist(folder, train_per_class=12, test_per_class=1)
    return folder


def read(path, data):
    cfg = Config.fromfile(path)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(data)
    cfg.train_dataloader.batch_size = 8
    if cfg.train_dataloader.dataset.labels_per_class:
        assert cfg.train_dataloader.dataset.labels_per_class == 550
        cfg.train_dataloader.dataset.labels_per_class = 3
    return cfg


def first_batch(cfg, split):
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        return next(iter(Runner.build_dataloader(cfg[f'{split}_dataloader'], seed=0)))


def losses_of(cfg):
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    batch = model.data_preprocessor(first_batch(cfg, 'train'), training=True)
    return model, model(**batch, mode='loss')


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_train_on_data_in_the_published_format(name, data):
    cfg = read(CONFIGS / 'fashion' / f'{name}.py', data)
    check_config(cfg)
    model, losses = losses_of(cfg)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    for split in ('val', 'test'):
        assert len(model.eval().test_step(first_batch(cfg, split))) == 10


@pytest.mark.parametrize('name', PAIRS)
def test_pairs_distil(name, data, tmp_path):
    cfg = read(pairs()[name], data)
    assert cfg.param_scheduler.T_max == cfg.train_cfg.max_epochs
    apply_method(cfg, 'mixed')
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        torch.save(MODELS.build(Config.fromfile(cfg.model.teacher.model).model).state_dict(), tmp_path / 'teacher.pth')
    cfg.model.teacher.update(checkpoint=str(tmp_path / 'teacher.pth'), expected_accuracy=None)
    check_config(cfg)
    model, losses = losses_of(cfg)
    assert {'loss_cls', 'loss_bkd', 'loss_wsld'} <= set(losses)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('name', ['mnist', 'fashion_dvs'])
def test_the_other_data_go_through_their_pipelines(name, data):
    cfg = read(CONFIGS / '_base_' / 'datasets' / f'{name}.py', data)
    batch = first_batch(cfg, 'train')['inputs']
    assert tuple(batch[0].shape) == {'mnist': (1, 28, 28), 'fashion_dvs': (4, 2, 34, 34)}[name]
    flips = [step.type for step in cfg.train_dataloader.dataset.pipeline if 'Flip' in step.type]
    assert bool(flips) == (name != 'mnist')
    assert name == 'mnist' or any((data / 'cache').rglob('*.sample'))


def test_stem_of_stride_two_is_a_quarter_of_the_work():
    cfg = Config.fromfile(CONFIGS / 'fashion' / 'sew_resnet.py')
    halved = measure_complexity(cfg, cfg.image_shape).macs
    cfg.model.backbone.stem = 'small'
    assert 3.5 < measure_complexity(cfg, cfg.image_shape).macs / halved < 4.5
