"""Data first, then files, then downloads: what is missing is named before anything is waited for."""
import pytest
import timm
import torch
import torchvision
from generated_data import write_class_folders, write_imagenet

from bkdsnn.config.checks import check_config, check_disk
from bkdsnn.config.files import read_config_file
from bkdsnn.models.teachers.sources import build_teacher
from helpers import DEMO, REPOSITORY, demo_config, run_tool

CONFIGS = REPOSITORY / 'configs'
NAMES_A_FILE = '--cfg-options model.teacher.checkpoint=FILE'


def problem(cfg, splits=('train', 'val')):
    check_config(cfg)
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        check_disk(cfg, splits)
    return str(error.value)


def test_missing_data_are_named_before_the_teachers_weights_are_waited_for(tmp_path):
    done = run_tool(REPOSITORY / 'tools/train.py', CONFIGS / 'bkd/spikformer_imagenet.py', cwd=tmp_path)
    (line, ) = [line for line in done.stderr.splitlines() if line.startswith('Error: ')]
    assert 'train_dataloader.dataset: ImageNet: there is no folder data/imagenet/train' in line
    assert not any(word in done.stdout + done.stderr for word in ('Retrying', 'huggingface', 'Traceback'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name, words', [
    ('bkd/sew-resnet18-t4_resnet18_1xb64-310e_cifar10', ['data/cifar10/cifar-10-batches-py has no', 'Unpack https://']),
    ('bkd/spikformer_custom', ['no folder data/images/train', 'DATA_ROOT=']),
    ('bkd/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_dvs-gesture', ['no recordings of DVSGesture', 'ibmGestureTrain'])])
def test_missing_data_are_named_before_missing_weights(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('DATA_ROOT', raising=False)
    message = problem(read_config_file(CONFIGS / f'{name}.py'))
    assert message.startswith('train_dataloader.dataset: ') and all(word in message for word in words), message


def test_folders_of_other_classes_name_the_config_for_them(tmp_path):
    write_class_folders(tmp_path / 'images', classes=('apple', 'banana'))
    cfg = read_config_file(CONFIGS / 'bkd/spikformer_imagenet.py')
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'images')
    message = problem(cfg)
    assert 'apple, banana' in message and f'DATA_ROOT={tmp_path}/images' in message
    assert 'configs/bkd/spikformer_custom.py' in message and (CONFIGS / 'bkd/spikformer_custom.py').is_file()


def test_data_of_other_splits_are_not_asked_for(tmp_path):
    write_imagenet(tmp_path / 'imagenet', classes=2)
    cfg = read_config_file(CONFIGS / 'snn/spikformer-8-384-t4_4xb48-310e_in1k.py')
    cfg.train_dataloader.dataset.data_root = 'nowhere'
    cfg.test_dataloader.dataset.update(data_root=str(tmp_path / 'imagenet'), partial=True)
    check_disk(cfg, ['test'])
    assert 'nowhere' in problem(cfg, ['train'])


def test_data_set_of_a_library_needs_its_folder(tmp_path):
    cfg = read_config_file(CONFIGS / 'snn/spikformer-8-384-t4_4xb48-310e_in1k.py')
    cfg.train_dataloader.dataset = dict(type='mmpretrain.CUB', data_root=str(tmp_path / 'birds'), split='train',
                                        pipeline=cfg.train_dataloader.dataset.pipeline, classes=['a'] * 1000)
    message = problem(cfg, ['train'])
    assert "train_dataloader.dataset.data_root='" in message and 'there is no such folder' in message
    assert '--cfg-options train_dataloader.dataset.data_root=FOLDER' in message


def test_missing_files_of_weights_are_named_by_their_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = problem(read_config_file(DEMO / 'mixed.py'))
    assert "model.teacher.checkpoint: checkpoint 'work_dirs/demo/teacher' does not exist" in message
    assert 'python tools/train.py' in message and 'configs/demo/teacher.py' in message and NAMES_A_FILE in message
    (tmp_path / 'work_dirs/demo/teacher').mkdir(parents=True)
    assert 'holds no checkpoint' in problem(read_config_file(DEMO / 'mixed.py'))
    for key, value, words in (
            ('load_from', 'x.pth', ["load_from: checkpoint 'x.pth'", '--cfg-options load_from=FILE']),
            ('model.backbone.init_cfg', dict(type='Pretrained', checkpoint='y.pth'),
             ["model.backbone.init_cfg.checkpoint: checkpoint 'y.pth'"])):
        message = problem(demo_config('plain', tmp_path, **{key: value}))
        assert all(word in message for word in words), message
    cfg = demo_config('mixed', tmp_path, **{'model.teacher.model': 'no.py', 'model.teacher.checkpoint': 'z.pth'})
    assert "model.teacher.model='no.py': there is no such config" in problem(cfg)


def test_a_teacher_of_no_use_needs_no_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_disk(demo_config('mixed', tmp_path, **{'model.losses': dict(_delete_=True, loss_tet=dict(type='TETLoss'))}),
               ['train', 'val'])


def no_network(*args, **kwargs):
    raise OSError('no connection')


@pytest.mark.parametrize('model, url', [
    ('timm/vit_base_patch16_224.orig_in21k_ft_in1k', 'https://huggingface.co/timm/vit_base_patch16_224.orig'),
    ('torchvision/resnet18.IMAGENET1K_V1', 'https://download.pytorch.org/models/resnet18-f37072fd.pth'),
    ('resnet18_8xb16_cifar10', '/resnet/resnet18_b16x8_cifar10_20210528-bd6371c8.pth')])
def test_a_download_that_fails_names_the_url_and_the_option_for_a_file(model, url, monkeypatch):
    monkeypatch.setattr(timm, 'create_model', no_network)
    monkeypatch.setattr(torchvision.models, 'get_model', no_network)
    monkeypatch.setattr(torch.hub, 'download_url_to_file', no_network)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: '/nowhere')
    monkeypatch.setattr('pathlib.Path.mkdir', lambda *args, **kwargs: None)
    with pytest.raises(OSError) as error:
        build_teacher(model, 'pretrained')
    message = str(error.value)
    assert url in message and 'no connection' in message and NAMES_A_FILE in message


@pytest.mark.parametrize('model, words', [('timm/test_vti', "Did you mean 'test_vit'?"),
                                          ('timm/test_vit.r999', 'Invalid pretrained tag')])
def test_a_name_that_timm_does_not_know_is_an_error_of_the_config(model, words):
    with pytest.raises(ValueError, match=r'model.teacher.model') as error:
        build_teacher(model, 'pretrained')
    assert words in str(error.value)
