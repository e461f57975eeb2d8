"""A teacher sees the colours that it was trained on, whatever the data set gives and the student is told."""
import logging
import pickle

import generated_data
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain.datasets import cifar
from PIL import Image

from bkdsnn import init_model
from bkdsnn.apis import SpikingInferencer
from bkdsnn.apis.evaluate import init_teacher
from bkdsnn.datasets import CIFAR10
from bkdsnn.models import FrozenTeacher, ImageDataPreprocessor
from bkdsnn.registry import DATASETS, MODELS
from bkdsnn.report.samples import reads_bgr
from bkdsnn.runs.folders import Run
from bkdsnn.utils.colours import channel_order_of, gives_rgb, learn_channel_order
from bkdsnn.visualization.browse import sample_steps
from bkdsnn.visualization.samples import read_sample, take_sample
from helpers import REPOSITORY, tiny_cnn, tiny_student

OWN, OTHER = 'CIFAR10', 'mmpretrain.CIFAR10'
MEAN, STD = [10.0, 20.0, 30.0], [40.0, 50.0, 60.0]  # of the teacher, in its own order


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A folder with the data set's files, and a teacher's weights."""
    folder = tmp_path_factory.mktemp('cifar')
    generated_data.write_cifar10(folder, per_batch=4, test=4)
    torch.save(colour_cnn().state_dict(), folder / 'cnn.pth')
    return folder


def colour_cnn():
    return tiny_cnn(3)


@pytest.fixture(autouse=True)
def unpublished_files(monkeypatch):
    """mmpretrain's data set takes the published files alone."""
    monkeypatch.setattr(cifar.CIFAR10, '_check_integrity', lambda self: True)


def pixels(root):
    """Test images as the files have them: RGB (4, 3, 32, 32)."""
    batch = pickle.loads((root / 'cifar-10-batches-py' / 'test_batch').read_bytes())
    return torch.from_numpy(batch['data'].reshape(-1, 3, 32, 32).copy()).double()


def config(root, work_dir, dataset, to_rgb, teacher=None, order=None):
    """A distillation on CIFAR-10 without augmentation; ``teacher`` is the order of colours that it wants."""
    loader = dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(
        type=dataset, data_root=str(root), split='test', pipeline=[dict(type='mmpretrain.PackInputs')]))
    preprocessor = dict(mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], to_rgb=to_rgb)
    if order is not None:
        preprocessor['channel_order'] = order
    model = dict(
        type='Distiller', student=tiny_student(in_channels=3), teacher=dict(
            type='FrozenTeacher', model='test_colours:colour_cnn', checkpoint=str(root / 'cnn.pth'), mean=MEAN, std=STD,
            to_rgb=None if teacher is None else teacher == 'rgb'),
        losses=dict(loss_kd=dict(type='LogitsKDLoss', teacher='fc', tau=2.0)))
    return Config(dict(
        model=model, data_preprocessor=preprocessor, work_dir=str(work_dir), default_scope='bkdsnn',
        train_dataloader=loader, val_dataloader=loader, test_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1), val_cfg={}, val_evaluator=dict(type='mmpretrain.Accuracy'),
        test_cfg={}, test_evaluator=dict(type='mmpretrain.Accuracy'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), custom_hooks=[dict(type='TeacherCheckHook')],
        default_hooks=dict(checkpoint=None)))


def normalised(images, mean, std):
    return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize('dataset', [OWN, OTHER])
def test_a_teacher_sees_its_own_colours(root, tmp_path, dataset, to_rgb):
    """Its accuracy check and training, with data sets that give BGR and RGB."""
    runner, seen = Runner.from_cfg(config(root, tmp_path, dataset, to_rgb, 'rgb')), dict(student=[], teacher=[])
    model = runner.model
    model.teacher.network.register_forward_pre_hook(lambda _, args: seen['teacher'].append(args[0]))
    model.student.backbone.register_forward_pre_hook(lambda _, args: seen['student'].append(args[0]))
    runner.train()
    rgb = pixels(root)
    assert len(seen['teacher']) == 2
    for images in seen['teacher']:
        torch.testing.assert_close(images.double(), normalised(rgb, MEAN, STD), rtol=1e-5, atol=1e-5)
    # What the student sees is as mmpretrain has it.
    want = normalised(rgb if (dataset == OTHER) != to_rgb else rgb.flip(1), [100., 110., 120.], [50., 60., 70.])
    torch.testing.assert_close(seen['student'][0].double(), want, rtol=1e-5, atol=1e-5)
    # Other teachers want BGR, or what the student sees.
    for order, images in (('bgr', rgb.flip(1)), (None, want * torch.tensor([50., 60., 70.]).view(3, 1, 1)
                                                 + torch.tensor([100., 110., 120.]).view(3, 1, 1))):
        teacher = FrozenTeacher(tiny_cnn(3), mean=MEAN, std=STD, to_rgb=order and order == 'rgb')
        teacher.adapt_to(model.data_preprocessor)
        torch.testing.assert_close(teacher.prepare(want), normalised(images, MEAN, STD))


@pytest.mark.parametrize('to_rgb', [True, False])
def test_a_teacher_that_is_a_network_alone_sees_what_the_student_sees(to_rgb, tmp_path):
    """Its config has neither data nor a preprocessor that would say an order."""
    network = tiny_student(in_channels=3)
    torch.save(MODELS.build(network).state_dict(), tmp_path / 'weights.pth')
    teacher = FrozenTeacher(network, str(tmp_path / 'weights.pth'))
    teacher.adapt_to(ImageDataPreprocessor(mean=[100.] * 3, std=[50.] * 3, to_rgb=to_rgb))
    images = torch.rand(2, 3, 8, 8)
    assert teacher.own_rgb is None and torch.equal(teacher.prepare(images), images)


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize('teacher', ['rgb', 'bgr'])
def test_a_preprocessor_states_the_order_of_its_input(order, to_rgb, teacher):
    """Without a data set at hand."""
    preprocessor = MODELS.build(dict(type='ImageDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.], to_rgb=to_rgb,
                                     channel_order=order))
    assert gives_rgb(preprocessor) == ((order == 'rgb') != to_rgb)
    frozen = FrozenTeacher(tiny_cnn(3), mean=MEAN, std=STD, to_rgb=teacher == 'rgb')
    frozen.adapt_to(preprocessor)
    colours = dict(rgb=torch.tensor([10., 100., 200.]), bgr=torch.tensor([200., 100., 10.]))
    given = colours[order].view(1, 3, 1, 1).expand(2, 3, 4, 4)
    seen = frozen.prepare(preprocessor(dict(inputs=given))['inputs'])
    want = (colours[teacher] - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(seen[0, :, 0, 0], want)


def test_what_is_stated_stays_and_a_contradiction_is_logged():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.setLevel(logging.WARNING)
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        preprocessor = MODELS.build(dict(type='ImageDataPreprocessor', channel_order='bgr'))
        learn_channel_order(preprocessor, dict(type=OWN))
        assert not lines
        learn_channel_order(preprocessor, dict(type=OTHER))
    finally:
        logger.removeHandler(handler)
    assert preprocessor.channel_order == 'bgr' and "channel_order='bgr', but the data set gives RGB" in lines[0]
    with pytest.raises(ValueError, match="channel_order='RGB' is unknown"):
        MODELS.build(dict(type='ImageDataPreprocessor', channel_order='RGB'))


def test_order_of_data_sets(root):
    for dataset, want in ((OWN, 'bgr'), (OTHER, 'rgb'), ('mmpretrain.CIFAR100', 'rgb'), ('CIFAR100', 'bgr'),
                          ('Digits', None), ('ImageFolder', None), ('mmpretrain.ImageNet', None), ('unknown', None)):
        cfg = dict(type=dataset)
        assert channel_order_of(cfg) == want
        assert channel_order_of(dict(type='RepeatDataset', dataset=dict(type='KFoldDataset', dataset=cfg))) == want
    assert channel_order_of(dict(type='CIFAR10'), 'mmpretrain') == 'rgb'
    assert channel_order_of(dict(type='CIFAR10', _scope_='mmpretrain')) == 'rgb'
    assert channel_order_of(dict(type=cifar.CIFAR10)) == 'rgb' and channel_order_of(None) is None
    own, other = (DATASETS.build(dict(type=name, data_root=str(root), split='test', pipeline=[]))
                  for name in (OWN, OTHER))
    assert channel_order_of(own) == 'bgr' and channel_order_of([other, object()]) == 'rgb'
    repeated = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=other))
    assert channel_order_of(torch.utils.data.Subset(repeated, [0])) == 'rgb'
    with pytest.raises(ValueError, match=r"some .* RGB, others BGR.*bkdsnn\.CIFAR10"):
        channel_order_of(DATASETS.build(dict(type='ConcatDataset', datasets=[own, other])))


def test_a_data_set_of_ones_own_says_so():
    class Mine(CIFAR10):
        channel_order = 'rgb'

    assert channel_order_of(dict(type=Mine)) == 'rgb'


def test_configs_of_the_package_give_the_teacher_rgb():
    for path in sorted((REPOSITORY / 'configs' / '_base_' / 'datasets').glob('*.py')):
        cfg = Config.fromfile(path)
        preprocessor = cfg.get('data_preprocessor') or {}
        if 'to_rgb' in preprocessor:
            assert (channel_order_of(cfg.train_dataloader.dataset) == 'rgb') != preprocessor['to_rgb'], path.name


# ---- networks that are used, and pictures ----

@pytest.mark.parametrize('dataset', [OWN, OTHER])
def test_an_image_is_predicted_as_the_same_sample_of_the_data_set(root, tmp_path, dataset):
    cfg = config(root, tmp_path, dataset, to_rgb=dataset == OWN)
    cfg.image_shape = (3, 32, 32)
    inferencer = SpikingInferencer(init_model(cfg))
    seen = []
    inferencer.model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    image = pixels(root)[1].permute(1, 2, 0).byte().numpy()
    Image.fromarray(image).save(tmp_path / 'image.png')
    inferencer(str(tmp_path / 'image.png'))
    inferencer(Image.fromarray(image))
    inferencer.model.test_step(next(iter(Runner.build_dataloader(cfg.test_dataloader))))
    assert torch.equal(seen[0][0], seen[2][1]) and torch.equal(seen[1][0], seen[2][1])
    # It is drawn as it is.
    np.testing.assert_array_equal(inferencer.reader.picture(inferencer.reader.read(tmp_path / 'image.png')), image)
    np.testing.assert_array_equal(read_sample(inferencer, str(tmp_path / 'image.png')).image, image)


@pytest.mark.parametrize('dataset', [OWN, OTHER])
def test_samples_are_drawn_in_their_colours(root, dataset):
    built = DATASETS.build(dict(type=dataset, data_root=str(root), split='test',
                                pipeline=[dict(type='mmpretrain.PackInputs')]))
    image = pixels(root)[2].permute(1, 2, 0).byte().numpy()
    np.testing.assert_array_equal(take_sample(built, 2).image, image)
    np.testing.assert_array_equal(sample_steps(built, 2)[0].image, image)


def test_report_draws_rgb_as_it_is(root, tmp_path):
    for dataset, to_rgb, want in ((OWN, True, True), (OTHER, False, False), (OTHER, True, False)):
        assert reads_bgr(Run('x', config(root, tmp_path, dataset, to_rgb))) == want


def test_the_teacher_alone_sees_its_own_colours(root, tmp_path):
    """As its energy is measured."""
    cfg = config(root, tmp_path, OTHER, to_rgb=False, teacher='rgb')
    assert not init_teacher(cfg, init_model(cfg)).flip_channels
