"""Static images: the real files through the data sets, pipelines and schedules of the configs."""
import os
import pickle
import shutil
from pathlib import Path

import generated_data
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

import golden
from bkdsnn.config.checks import check_config, check_options
from bkdsnn.datasets import CIFAR10, CIFAR100, ImageFolder, ImageNet
from bkdsnn.models import FrozenTeacher
from bkdsnn.registry import MODELS, PARAM_SCHEDULERS, TRANSFORMS
from helpers import REPOSITORY, run_tool, tiny_cnn, tiny_student

BASE = REPOSITORY / 'configs' / '_base_'
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """A folder ``data`` as the configs expect it."""
    root = tmp_path_factory.mktemp('images') / 'data'
    generated_data.write_imagenet(root / 'imagenet', classes=6)
    generated_data.write_cifar10(root / 'cifar10')
    generated_data.write_cifar100(root / 'cifar100')
    generated_data.write_class_folders(root / 'images')
    return root


@pytest.fixture
def config(data, monkeypatch):
    """Reads a data config of ``configs/_base_`` for the generated data, in this process."""

    def read(name, **options):
        monkeypatch.setenv('DATA_ROOT', str(data / 'images'))
        cfg = Config.fromfile(BASE / 'datasets' / f'{name}.py')
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.num_workers = 0
            if loader.dataset.type != 'ImageFolder':
                loader.dataset.data_root = str(data / Path(loader.dataset.data_root).name)
            if loader.dataset.type == 'ImageNet':
                loader.dataset.partial = True
        cfg.merge_from_dict(options)
        return cfg

    return read


def first_batch(cfg, split, **options):
    check_config(cfg)
    loader = Runner.build_dataloader(dict(cfg[f'{split}_dataloader'], batch_size=8, **options))
    preprocessor = MODELS.build(dict(cfg.data_preprocessor, type='mmpretrain.ClsDataPreprocessor'))
    data = preprocessor(next(iter(loader)), split == 'train')
    return data['inputs'], data['data_samples']


# ---- the generated files ----

@pytest.mark.parametrize('write', [generated_data.write_imagenet, generated_data.write_cifar10,
                                   generated_data.write_cifar100, generated_data.write_class_folders])
def test_generated_files_are_the_same_every_time(write, tmp_path):
    for name in ('a', 'b'):
        write(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / 'a') for p in (tmp_path / 'a').rglob('*') if p.is_file())
    assert files and files == sorted(p.relative_to(tmp_path / 'b') for p in (tmp_path / 'b').rglob('*') if p.is_file())
    assert all((tmp_path / 'a' / f).read_bytes() == (tmp_path / 'b' / f).read_bytes() for f in files)


def test_generated_classes_can_be_told_apart(data):
    """By the nearest training image in the colour of the middle."""

    def features(split):
        dataset = CIFAR10(str(data / 'cifar10'), split, pipeline=[])
        return np.stack([item['img'][12:20, 12:20].mean((0, 1)) for item in dataset]), dataset.get_gt_labels()

    (known, labels), (new, want) = features('train'), features('test')
    nearest = np.abs(new[:, None] - known[None]).sum(-1).argmin(1)
    assert (labels[nearest] == want).mean() > 0.8


# ---- data sets ----

@pytest.mark.parametrize('cls, name, train, test', [(CIFAR10, 'cifar10', 100, 20), (CIFAR100, 'cifar100', 200, 100)])
def test_cifar_files_load_with_their_labels_and_classes(data, cls, name, train, test):
    for split, number in (('train', train), ('test', test)):
        dataset = cls(str(data / name), split, pipeline=[])
        assert len(dataset) == number and len(dataset.CLASSES) == int(name[5:])
        file = next((data / name).rglob({'train': '[dt][ar]*1' if cls is CIFAR10 else 'train',
                                         'test': 'test*'}[split]))
        batch = pickle.loads(file.read_bytes())
        item = dataset[7]
        assert item['gt_label'] == batch.get('fine_labels', batch.get('labels'))[7]
        np.testing.assert_array_equal(item['img'][..., ::-1].transpose(2, 0, 1).ravel(), batch['data'][7])


def test_cifar_files_of_the_first_numpy_load(data, tmp_path):
    """The published files name NumPy's module as it was called until version 1."""
    shutil.copytree(data / 'cifar10', tmp_path / 'cifar10')
    for file in (tmp_path / 'cifar10').rglob('*batch_*'):
        file.write_bytes(file.read_bytes().replace(b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'))
    assert len(CIFAR10(str(tmp_path / 'cifar10'), 'train', pipeline=[])) == 100


def test_imagenet_labels_are_those_of_the_1000_classes(data):
    dataset = ImageNet(str(data / 'imagenet'), 'val', partial=True, pipeline=[])
    assert len(dataset) == 12 and sorted(set(dataset.get_gt_labels())) == [0, 1, 2, 10, 36, 64]
    assert dataset.CLASSES[36] == 'terrapin' and '/n01443537/' in dataset[2]['img_path']


def test_own_images_are_labelled_by_folder(data, tmp_path):
    shutil.copytree(data / 'images', tmp_path / 'images')
    (tmp_path / 'images' / 'train' / '.thumbnails').mkdir()
    dataset = ImageFolder(str(tmp_path / 'images'), 'train', pipeline=[])
    assert dataset.metainfo['classes'] == ('apple', 'banana', 'cherry')
    assert np.bincount(dataset.get_gt_labels()).tolist() == [4, 4, 4]
    assert all(f'/{dataset.CLASSES[item["gt_label"]]}/' in item['img_path'] for item in dataset)


# ---- pipelines and normalisation ----

@pytest.mark.parametrize('name, resize', [
    ('imagenet_224', transforms.Resize(224, InterpolationMode.BICUBIC)),
    ('imagenet_224_sew', transforms.Resize(256, InterpolationMode.BILINEAR))])
def test_imagenet_is_validated_as_torchvision_does_it(config, name, resize):
    cfg = config(name)
    inputs, samples = first_batch(cfg, 'val')
    prepare = transforms.Compose([resize, transforms.CenterCrop(224), transforms.ToTensor(),
                                  transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    for image, sample in zip(inputs, samples):
        want = prepare(Image.open(sample.img_path).convert('RGB'))
        # Two JPEG decoders, and sides of fractional length; a wrong order of colours would be off by 0.5 and more.
        assert (image - want).abs().mean() < 0.05
        assert 'gt_score' in sample or name == 'imagenet_224_sew'


@pytest.mark.parametrize('name, classes', [('cifar10', 10), ('cifar100', 100)])
def test_cifar_is_normalised_in_rgb(config, data, name, classes):
    inputs, samples = first_batch(config(name), 'val')
    file = next((data / name).rglob('test*'))
    batch = pickle.loads(file.read_bytes())
    raw = torch.from_numpy(batch['data'][:8].reshape(8, 3, 32, 32).copy()) / 255
    want = transforms.functional.normalize(raw, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    torch.testing.assert_close(inputs, want, rtol=0, atol=1e-5)
    assert [int(sample.gt_label) for sample in samples] == [i % classes for i in range(8)]


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_teachers_cifar_is_the_students_enlarged(config, name):
    """What a teacher is trained on is what the student's 32-pixel images become in front of it."""
    own, _ = first_batch(config(f'{name}_224'), 'val')
    cfg = config(name)
    students, _ = first_batch(cfg, 'val')
    teacher = FrozenTeacher(tiny_cnn(3), mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, input_size=224)
    teacher.adapt_to(MODELS.build(dict(cfg.data_preprocessor, type='mmpretrain.ClsDataPreprocessor')))
    assert own.shape == (8, 3, 224, 224)
    inside = (own.abs() < 0.99).all(1, keepdim=True).expand_as(own)  # bytes are clipped, floats are not
    torch.testing.assert_close(own[inside], teacher.prepare(students)[inside], rtol=0, atol=0.02)


@pytest.mark.parametrize('name, size, classes, kinds', [
    ('imagenet_224', 224, 1000, {'Mixup', 'CutMix'}), ('cifar10', 32, 10, {'Mixup'}), ('cifar100', 32, 100, {'Mixup'}),
    ('cifar10_224', 224, 10, {'Mixup'}), ('cifar100_224', 224, 100, {'Mixup'}),
    ('image_folder_224', 224, 3, {'Mixup', 'CutMix'}), ('imagenet_224_sew', 224, 1000, set())])
def test_training_batches(config, name, size, classes, kinds):
    cfg = config(name)
    inputs, samples = first_batch(cfg, 'train')
    assert inputs.shape == (8, 3, size, size) and inputs.dtype == torch.float32 and inputs.isfinite().all()
    assert inputs.abs().max() < 3 and inputs.std() > 0.2
    augments = (cfg.data_preprocessor.get('batch_augments') or {}).get('augments', [])
    assert {augment['type'].split('.')[1] for augment in augments} == kinds
    if not kinds:
        assert all('gt_score' not in sample for sample in samples)
        return
    scores = torch.stack([sample.gt_score for sample in samples])
    assert scores.shape == (8, classes)
    torch.testing.assert_close(scores.sum(1), torch.ones(8))
    assert all(scores[i, sample.gt_label] > 0 for i, sample in enumerate(samples))
    assert ((scores > 0) & (scores < 1)).any(), 'nothing was mixed'


@pytest.mark.parametrize('name', ['imagenet_224', 'image_folder_224', 'imagenet_224_sew', 'cifar10', 'cifar100'])
def test_labels_are_mixed_in_the_ratio_of_the_images(config, name):
    """Each sample's image is a constant, its label; after mixup the mean image says what the soft label says."""
    cfg = config(name)
    augments = (cfg.data_preprocessor.get('batch_augments') or {}).get('augments', [])
    preprocessor = MODELS.build(dict(cfg.data_preprocessor, type='mmpretrain.ClsDataPreprocessor', mean=None, std=None))
    for seed in range(4 if augments else 0):
        np.random.seed(seed)
        labels = torch.arange(3)
        inputs = labels.view(3, 1, 1, 1).expand(3, 3, 64, 64).to(torch.uint8)
        samples = [DataSample().set_gt_label(int(label)) for label in labels]
        mixed = preprocessor(dict(inputs=inputs, data_samples=samples), True)
        scores = torch.stack([sample.gt_score for sample in mixed['data_samples']])
        torch.testing.assert_close(mixed['inputs'].mean((1, 2, 3)), scores[:, :3] @ labels.float())
    assert augments or name == 'imagenet_224_sew'


def test_transformers_train_on_the_whole_central_square(config):
    """A scale of 1.0 with a ratio of 1.0, which no part of a rectangle has; timm then takes the central square."""
    crop = TRANSFORMS.build(config('imagenet_224').train_pipeline[1])
    image = np.random.default_rng(0).integers(0, 256, (100, 160, 3), dtype=np.uint8)
    for _ in range(3):
        want = Image.fromarray(image[:, 30:130]).resize((224, 224), Image.BICUBIC)
        np.testing.assert_array_equal(crop(dict(img=image))['img'], np.asarray(want))


@pytest.mark.parametrize('shape', [(100, 160, 3), (161, 100, 3), (75, 50), (60, 60, 3)])
@pytest.mark.parametrize('options', [dict(backend='pillow', interpolation='bicubic'), dict(backend='cv2')])
def test_the_central_square_is_the_random_crop_that_has_no_choice(shape, options):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    crop, square = (TRANSFORMS.build(dict(type=name, scale=48, **options, **ranges)) for name, ranges in (
        ('mmpretrain.RandomResizedCrop', dict(crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.0, 1.0))),
        ('CentralSquare', {})))
    found = square(dict(img=image, gt_label=3))
    np.testing.assert_array_equal(found['img'], crop(dict(img=image))['img'])
    assert found['img_shape'] == (48, 48) and found['gt_label'] == 3


@pytest.mark.parametrize('name', ['imagenet_224', 'cifar10'])
def test_erased_and_padded_pixels_are_the_mean(config, name):
    """timm erases after normalising, with zeros, and fills what geometry uncovers with the mean colour."""
    cfg = config(name)
    erase = next(step for step in cfg.train_pipeline if step['type'].endswith('RandomErasing'))
    augment = next(step for step in cfg.train_pipeline if step['type'] == 'RandAugment')
    image = np.zeros((64, 64, 3), np.uint8)
    erased = TRANSFORMS.build(dict(erase, erase_prob=1.0))(dict(img=image.copy()))['img']
    colour = erased[erased.any(-1)]
    assert len(colour) and (colour == colour[0]).all()
    mean, std = (torch.tensor(cfg.data_preprocessor[key]) for key in ('mean', 'std'))
    assert ((torch.tensor(colour[0][::-1].copy()) - mean) / std).abs().max() < 0.01
    assert list(augment['hparams']['pad_val']) == colour[0].tolist()


def test_randaugment_is_the_one_that_its_name_says(config):
    """rand-m9-mstd0.5-inc1, and rand-m9-n1-mstd0.4-inc1, in timm's words."""
    from timm.data.auto_augment import rand_augment_transform
    for name, words in (('imagenet_224', 'rand-m9-mstd0.5-inc1'), ('cifar10', 'rand-m9-n1-mstd0.4-inc1')):
        step = next(step for step in config(name).train_pipeline if step['type'] == 'RandAugment')
        ours, theirs = TRANSFORMS.build(step), rand_augment_transform(words, {})
        assert ours.num_policies == theirs.num_layers and len(ours.policies) == len(theirs.ops)
        for policy, op in zip(ours.transforms, theirs.ops):
            assert policy.prob == op.prob
        assert ours.magnitude_level == theirs.ops[0].magnitude
        assert ours.magnitude_std == theirs.ops[0].magnitude_std


# ---- errors ----

@pytest.mark.parametrize('name, wrong', [
    ('cifar10', r'has no data_batch_1.*cifar-10-batches-py/\. Unpack https://www\.cs\.toronto\.edu/~kriz/cifar-10-py'),
    ('cifar100', r'has no train.*cifar-100-python/\. Unpack https://www\.cs\.toronto\.edu/~kriz/cifar-100-python'),
    ('imagenet_224', r'no folder .*imagenet/train\..*\{train,val\}/<class>/<name>\.JPEG.*https://image-net\.org'),
    ('image_folder_224', r'no folder .*images/train\..*\{train,val\}/<class>/<name>\.jpg.*DATA_ROOT=')])
def test_missing_data_says_what_is_expected_where(name, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('DATA_ROOT', raising=False)
    cfg = Config.fromfile(BASE / 'datasets' / f'{name}.py')
    with pytest.raises(FileNotFoundError, match=wrong):
        Runner.build_dataloader(cfg.train_dataloader)


def experiment(folder, name='cifar10', schedule='cifar_transformer_310e', **options):
    """A config file of a tiny student on real files; returns its path."""
    parts = [BASE / 'datasets' / f'{name}.py', BASE / 'schedules' / f'{schedule}.py', BASE / 'default_runtime.py']
    num_classes = options.pop('num_classes', 10)
    model = tiny_student(num_classes, in_channels=3)
    (folder / 'experiment.py').write_text(
        f'_base_ = {[str(part) for part in parts]}\nmodel = {model!r}\n'
        "model['head']['loss'] = _base_.smooth_loss\n"
        'custom_hooks = [*_base_.custom_hooks, *([_base_.mixup_off] if "mixup_off" in _base_ else [])]\n'
        f'work_dir = {str(folder / "run")!r}\n' + ''.join(f'{key} = {value!r}\n' for key, value in options.items()))
    return folder / 'experiment.py'


def test_training_without_data_ends_with_one_line(tmp_path):
    done = run_tool(REPOSITORY / 'tools/train.py', experiment(tmp_path), cwd=tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    (line, ) = [line for line in done.stderr.splitlines() if line.startswith('Error:')]
    assert 'cifar-10-batches-py' in line and 'Unpack https://' in line


def test_own_images_train_when_their_folder_is_named(data, tmp_path):
    """The classes are counted, the run's own config keeps the number, and ``data_root`` is no option to miss."""
    path = experiment(tmp_path, 'image_folder_224', num_classes=1, train_cfg=dict(max_epochs=1))
    path.write_text(path.read_text() + "model['head']['num_classes'] = _base_.num_classes\n")
    options = ['train_dataloader.num_workers=0', 'val_dataloader.num_workers=0', 'train_dataloader.batch_size=6',
               'model.backbone.stem=imagenet']
    done = run_tool(REPOSITORY / 'tools/train.py', path, '--cfg-options', *options, cwd=tmp_path,
                    DATA_ROOT=str(data / 'images'))
    assert done.returncode == 0, done.stderr[-2000:]
    kept = Config.fromfile(tmp_path / 'run' / 'experiment.py')
    assert kept.model.head.num_classes == kept.data_preprocessor.num_classes == 3
    with pytest.raises(ValueError, match="no 'data_root' in the config"):
        check_options(dict(data_root='elsewhere'), kept)


def test_other_folders_than_were_counted_are_an_error(config, data, tmp_path):
    shutil.copytree(data / 'images', tmp_path / 'images')
    shutil.rmtree(tmp_path / 'images' / 'val' / 'apple')
    (tmp_path / 'images' / 'val' / 'pear').mkdir()
    dataset = dict(config('image_folder_224').val_dataloader.dataset, data_root=str(tmp_path / 'images'))
    with pytest.raises(ValueError, match='missing apple; not among them pear'):
        ImageFolder(**{key: value for key, value in dataset.items() if key != 'type'})


def test_part_of_imagenet_is_an_error_unless_asked_for(data, tmp_path):
    with pytest.raises(ValueError, match=r'6 of 1,000 class folders; missing: n01491361.*partial=True'):
        ImageNet(str(data / 'imagenet'), 'train')
    with pytest.raises(ValueError, match='apple, banana, cherry in .* are no ids'):
        ImageNet(str(data / 'images'), 'train', partial=True)
    (tmp_path / 'val').mkdir()
    with pytest.raises(ValueError, match='has no class folders.*have to be sorted'):
        ImageNet(str(tmp_path), 'val')


def test_folders_without_images_are_an_error(tmp_path):
    (tmp_path / 'train' / 'apple').mkdir(parents=True)
    (tmp_path / 'train' / 'apple' / 'notes.txt').write_text('soon')
    with pytest.raises(ValueError, match=r'no folder in .*train has an image \(.*\.jpg'):
        ImageFolder(str(tmp_path), 'train')


def test_damaged_cifar_file_is_named(data, tmp_path):
    shutil.copytree(data / 'cifar10', tmp_path / 'cifar10')
    file = tmp_path / 'cifar10' / 'cifar-10-batches-py' / 'data_batch_3'
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match=r'data_batch_3 is damaged.*Unpack cifar-10-python\.tar\.gz again'):
        CIFAR10(str(tmp_path / 'cifar10'), 'train')


def test_cifar_file_that_would_run_code_is_refused(data, tmp_path):

    class Evil:

        def __reduce__(self):
            return (open, (str(tmp_path / 'harmed'), 'w'))

    shutil.copytree(data / 'cifar100', tmp_path / 'cifar100')
    (tmp_path / 'cifar100' / 'cifar-100-python' / 'test').write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match='test is damaged'):
        CIFAR100(str(tmp_path / 'cifar100'), 'test')
    assert not (tmp_path / 'harmed').exists()


# ---- schedules ----

def schedule(name):
    return Config.fromfile(BASE / 'schedules' / f'{name}.py')


def rates(cfg, lr=None):
    """Learning rate of every epoch, as mmengine's runner would set it."""
    lr = lr or cfg.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    configs = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    schedulers = [PARAM_SCHEDULERS.build(dict(c, optimizer=optimizer)) for c in configs]
    out = []
    for _ in range(cfg.train_cfg.max_epochs):
        out.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return np.array(out)


def timms(lr, warm_up_from, epochs):
    from timm.scheduler import CosineLRScheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs, lr_min=1e-5, warmup_t=20, warmup_lr_init=warm_up_from)
    out = []
    for epoch in range(epochs + 10):
        scheduler.step(epoch)
        out.append(optimizer.param_groups[0]['lr'])
    return np.array(out)


@pytest.mark.parametrize('name, warm_up_from, epochs', [
    ('imagenet_transformer_310e', 1e-6, 300), ('cifar_transformer_310e', 1e-5, 300),
    ('cifar_transformer_410e', 1e-5, 400)])
def test_learning_rates_are_timms(name, warm_up_from, epochs):
    cfg = schedule(name)
    ours, theirs = rates(cfg), timms(5e-4, warm_up_from, epochs)
    assert len(ours) == epochs + 10
    np.testing.assert_allclose(ours[:20], theirs[:20], rtol=0.01)
    np.testing.assert_allclose(ours[20:], theirs[20:], rtol=5e-4)


@pytest.mark.parametrize('name, want', [
    # The first of these are in the published log of Spikingformer-8-384.
    ('imagenet_transformer_310e', {0: 1e-6, 1: 2.595e-5, 20: 4.946e-4, 160: 2.294e-4, 299: 1.001e-5, 300: 1e-5,
                                   309: 1e-5}),
    ('cifar_transformer_310e', {0: 1e-5, 20: 4.946e-4, 160: 2.294e-4, 300: 1e-5, 309: 1e-5}),
    ('imagenet_sew_320e', {0: 0.1, 160: 0.05, 319: 2.41e-6})])
def test_learning_rates_of_the_published_runs(name, want):
    ours = rates(schedule(name))
    assert {epoch: ours[epoch] for epoch in want} == pytest.approx(want, rel=1e-3)


def test_widest_transformers_rate_needs_no_other_schedule():
    ours, theirs = rates(schedule('imagenet_transformer_310e'), lr=3.5355e-4), timms(3.5355e-4, 1e-6, 300)
    np.testing.assert_allclose(ours[1:20], theirs[1:20], rtol=0.02)
    np.testing.assert_allclose(ours[20:], theirs[20:], rtol=5e-4)


def names_with_decay(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)] for group in optimizer.param_groups for p in group['params'] if group['weight_decay'] > 0}


def decayed(model, optim_wrapper):
    return names_with_decay(model, build_optim_wrapper(model, optim_wrapper).optimizer)


def decayed_by_timm(model):
    """As the authors build their optimizer."""
    from timm.optim import create_optimizer_v2
    return names_with_decay(model, create_optimizer_v2(model, 'adamw', lr=1e-3, weight_decay=0.05))


@pytest.mark.parametrize('name', ['imagenet_transformer_310e', 'cifar_transformer_310e'])
def test_weight_decay_leaves_out_what_timm_does(name):
    """Norms, biases and the time constant of PLIF; the losses' own parameters are treated alike."""
    model = MODELS.build(dict(
        type='Distiller', student=tiny_student(in_channels=3, neuron=dict(golden.LIF, type='ParametricLIFNode')),
        teacher=dict(type='FrozenTeacher', model=tiny_cnn(3)),
        losses=dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', blur_ratio=0.15,
                                  loss_weight=1.0))))
    ours = decayed(model, schedule(name).optim_wrapper)
    assert ours == decayed_by_timm(model) and any('losses.' in n for n in ours)
    assert any(n.endswith('.w') for n, _ in model.named_parameters()) and not any(n.endswith('.w') for n in ours)


def test_weight_decay_of_a_vision_transformer_leaves_out_its_embeddings():
    import timm
    model = timm.create_model('test_vit')
    ours = decayed(model, schedule('vit_finetune_50e').optim_wrapper)
    assert ours == decayed_by_timm(model) and 'blocks.0.attn.qkv.weight' in ours


# ---- mixup goes off ----

def test_mixup_goes_off_after_epoch_200():
    for name in ('cifar_transformer_310e', 'cifar_transformer_410e'):
        (switch, ) = schedule(name).mixup_off.schedule
        assert switch.action_epoch == 201 and switch.batch_augments.probs == 0


def test_every_config_with_the_schedule_switches_mixup_off():
    """Those that inherit from one of them have its hooks."""
    paths = [path for path in (REPOSITORY / 'configs').rglob('*.py')
             if 'schedules/cifar_transformer_' in path.read_text()]
    assert paths
    for path in paths:
        cfg = Config.fromfile(path)
        assert cfg.mixup_off in cfg.custom_hooks, f'{path} never switches mixup off'


@pytest.fixture
def distilled(data, tmp_path):
    """Config of a distilled run of four epochs on CIFAR-10, with mixup for two of them."""
    torch.save(dict(state_dict=tiny_cnn(3).state_dict()), tmp_path / 'teacher.pth')
    cfg = Config.fromfile(experiment(tmp_path))
    cfg.model = dict(
        type='Distiller', student=cfg.model, input_shape=(3, 32, 32),
        teacher=dict(type='FrozenTeacher', model=f'{__name__}:colour_cnn', checkpoint=str(tmp_path / 'teacher.pth')),
        losses=dict(loss_wsld=dict(type='WSLDLoss', student='head', teacher='fc', tau=2.0)))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
        loader.dataset.data_root = str(data / 'cifar10')
    cfg.mixup_off.schedule[0].action_epoch = 3
    cfg.custom_hooks[-1] = cfg.mixup_off
    cfg.train_cfg = dict(by_epoch=True, max_epochs=4, val_interval=4)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.checkpoint.max_keep_ckpts = 9
    return cfg


def colour_cnn():
    return tiny_cnn(3)


def mixed_epochs(cfg):
    """Epochs (from 1) whose soft labels are mixed; the same for student and teacher."""
    runner = Runner.from_cfg(cfg)
    epochs = {}

    def look(module, args, kwargs):
        samples = kwargs.get('data_samples') or args[1]
        if module.training:
            scores = torch.stack([sample.gt_score for sample in samples])
            epochs.setdefault(runner.epoch + 1, []).append(bool(((scores > 0) & (scores < 1)).any()))

    runner.model.register_forward_pre_hook(look, with_kwargs=True)
    runner.train()
    assert all(len(set(flags)) == 1 for flags in epochs.values())
    return {epoch: flags[0] for epoch, flags in epochs.items()}


def test_mixup_goes_off_in_distillation_and_stays_off_when_resumed(distilled):
    assert mixed_epochs(distilled) == {1: True, 2: True, 3: False, 4: False}
    cfg = Config(distilled.to_dict())
    cfg.resume, cfg.load_from = True, os.path.join(cfg.work_dir, 'epoch_3.pth')
    cfg.work_dir = f'{distilled.work_dir}_resumed'
    assert mixed_epochs(cfg) == {4: False}


# ---- a teacher of one's own ----

def test_fine_tuned_teacher_sees_224_pixels_when_the_student_sees_32(data, tmp_path):
    cfg = Config.fromfile(REPOSITORY / 'configs/ann/vit-small-p16_8xb64-50e_cifar10-224px.py')
    cfg.merge_from_dict({'model.model_name': 'test_vit', 'model.pretrained': False, 'model.img_size': 224,
                         'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'work_dir': str(tmp_path / 'run')})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
        loader.dataset.data_root, loader.dataset.indices = str(data / 'cifar10'), 16
    check_config(cfg)
    Runner.from_cfg(cfg).train()
    cfg.model.pretrained = True  # must not reach for the network
    cfg.dump(str(tmp_path / 'teacher.py'))
    teacher = FrozenTeacher(str(tmp_path / 'teacher.py'), str(tmp_path / 'run'))
    assert teacher.input_size == (224, 224) and teacher.interpolation == 'bicubic' and teacher.own_rgb
    assert list(teacher.own_mean) == [127.5] * 3 == list(teacher.own_std)
    assert teacher(torch.randn(2, 3, 32, 32)).shape == (2, 10)
