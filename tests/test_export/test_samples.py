"""The inputs that exported networks are checked on."""
import pytest
import torch
from mmengine.config import Config

from bkdsnn import get_model, init_model
from bkdsnn.export import Deployed
from bkdsnn.export.command import Student
from bkdsnn.export.samples import check_inputs, make_noise, read_test_inputs
from bkdsnn.models import EventDataPreprocessor
from bkdsnn.utils.colours import learn_channel_order
from helpers import DEMO, small_network, tiny_student


def test_images_of_the_test_data_are_those_before_preprocessing():
    model = get_model('demo/plain')
    inputs, source = check_inputs(model, (1, 8, 8), 3)
    assert inputs.shape == (3, 1, 8, 8) and source == 'of the test data'
    assert inputs.min() == 0 and 200 < inputs.max() <= 255
    normalised, _ = check_inputs(model, (1, 8, 8), 3, normalise=False)
    torch.testing.assert_close(normalised, (inputs - 127.5) / 127.5)


def test_preprocessing_of_ones_own_is_left_to_those_who_call_the_network():

    class OtherPreprocessor(EventDataPreprocessor):
        pass

    model = get_model('demo/plain')
    model.data_preprocessor = OtherPreprocessor()
    inputs, source = check_inputs(model, (1, 8, 8), 3, normalise=False)
    assert inputs.shape == (3, 1, 8, 8) and inputs.min() < 0 and inputs.max() < 10
    assert source == 'of noise, since the test data are prepared by OtherPreprocessor'
    Deployed(model, normalise=False)(inputs)


def test_frames_of_the_student_are_averaged_down_to_the_shape():
    model = get_model('demo/events_mixed')
    raw = read_test_inputs(model, 2)
    assert raw.shape[:3] == (2, 4, 2) and raw.shape[3] > 10
    inputs, source = check_inputs(model, (4, 2, 10, 10), 2)
    assert source == 'of the test data'
    want = model.data_preprocessor(dict(inputs=raw))['inputs']
    torch.testing.assert_close(inputs, want)


@pytest.mark.parametrize('order, to_rgb, colours', [
    ('bgr', True, 'RGB'), ('bgr', False, 'BGR'), ('rgb', True, 'BGR'), ('rgb', False, 'RGB')])
def test_the_order_of_colours_is_that_of_the_networks_input(order, to_rgb, colours):
    cfg = Config(dict(model=dict(tiny_student(in_channels=3), data_preprocessor=dict(
        mean=[0.] * 3, std=[255.] * 3, to_rgb=to_rgb, channel_order=order))))
    model = init_model(cfg)
    assert Student(model, Deployed(model), (3, 8, 8)).describe_input() == f'3x8x8, pixels from 0 to 255, {colours}'


def test_the_order_of_colours_of_another_librarys_data_is_looked_up_there():
    cfg = Config(dict(default_scope='mmpretrain', test_dataloader=dict(dataset=dict(type='CIFAR10'))))
    preprocessor = torch.nn.Identity()
    preprocessor.to_rgb = False
    learn_channel_order(preprocessor, cfg)
    assert preprocessor.channel_order == 'rgb'


def test_images_are_rgb_where_the_network_is_trained_on_rgb(tmp_path):
    from PIL import Image
    Image.new('RGB', (8, 8), (250, 100, 10)).save(tmp_path / 'a.png')
    cfg = Config(dict(
        model=dict(tiny_student(in_channels=3), data_preprocessor=dict(mean=[0.] * 3, std=[255.] * 3, to_rgb=True)),
        test_dataloader=dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                             collate_fn=dict(type='default_collate'),
                             dataset=dict(type='mmpretrain.CustomDataset', data_root=str(tmp_path), with_label=False,
                                          pipeline=[dict(type='LoadImageFromFile'),
                                                    dict(type='mmpretrain.PackInputs')]))))
    assert read_test_inputs(init_model(cfg), 1)[0, :, 0, 0].tolist() == [250, 100, 10]


def test_noise_stands_in_for_data_that_cannot_be_read_or_do_not_fit(tmp_path):
    cfg = Config.fromfile(DEMO / 'plain.py')
    cfg.test_dataloader.dataset = dict(type='ImageFolder', data_root=str(tmp_path / 'none'), split='val', pipeline=[])
    inputs, source = check_inputs(init_model(cfg), (1, 8, 8), 3)
    assert source.startswith('of noise, since the test data cannot be read (ImageFolder: there is no folder')
    assert inputs.shape == (3, 1, 8, 8) and 0 <= inputs.min() < 50 and 200 < inputs.max() < 255
    _, source = check_inputs(get_model('demo/plain'), (1, 9, 8), 3)
    assert source == 'of noise, since the test data have another shape'


def test_noise_is_counts_for_events_and_the_same_each_time():
    model, _ = small_network('SEWDVSNet')
    noise = make_noise(model, (3, 2, 8, 8), 4)
    assert noise.shape == (4, 3, 2, 8, 8) and torch.equal(noise, noise.round()) and 0.3 < noise.mean() < 0.7
    assert torch.equal(noise, make_noise(model, (3, 2, 8, 8), 4))
