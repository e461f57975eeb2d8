"""Pictures reach mmengine's backends, from a visualizer and from a hook in training."""
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import mmengine.dist.utils
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.hooks import SpikeVisualizationHook
from bkdsnn.visualization import SpikeVisualizer
from bkdsnn.visualization.spikes import draw_raster, figure_image
from helpers import demo_config

LAYER = 'backbone.layer2.0.unit1.neuron'
NAMES = {f'sample0_{picture}' for picture in (f'raster_{LAYER}', f'membrane_{LAYER}', f'rate_{LAYER}', 'activation')}
SPIKES = np.array([[0, 1], [1, 1]])


@pytest.fixture
def visualizer(tmp_path):
    return SpikeVisualizer(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))


def images(folder):
    return {path.name: cv2.imread(str(path))[..., ::-1] for path in folder.rglob('vis_image/*.png')}


def test_local_backend_gets_every_kind_of_picture_as_it_is_drawn(visualizer, tmp_path):
    picture = np.zeros((4, 4), np.uint8)
    visualizer.add_spike_raster('raster', SPIKES, step=3, title='spikes')
    visualizer.add_membranes('membranes', SPIKES * 1.5, SPIKES, 1.0, 0.0)
    visualizer.add_rate_map('rate', picture, np.ones((2, 2)))
    visualizer.add_cam('cam', picture, np.ones((2, 2, 2)), np.ones(2), label='evidence')
    written = images(tmp_path)
    assert set(written) == {'raster_3.png', 'membranes_0.png', 'rate_0.png', 'cam_0.png'}
    np.testing.assert_array_equal(written['raster_3.png'], figure_image(draw_raster(SPIKES, title='spikes')))


def test_name_that_the_local_backend_would_drop_is_refused(visualizer):
    with pytest.raises(ValueError, match="'a/b' of a picture must not hold a slash"):
        visualizer.add_spike_raster('a/b', SPIKES)


def test_only_the_first_process_draws(visualizer, tmp_path, monkeypatch):
    monkeypatch.setattr(mmengine.dist.utils, 'get_rank', lambda group=None: 1)
    visualizer.add_spike_raster('raster', SPIKES)
    assert not images(tmp_path)


# ---- in training ----


def config(folder, teacher=None, hook=None, backends=('LocalVisBackend', )):
    # In batches of 500, neurons would be compiled.
    cfg = demo_config('mixed' if teacher else 'plain', folder, teacher, **{'val_dataloader.batch_size': 50})
    if hook is not None:
        hook = {**dict(layers=[LAYER], samples=[0], interval=2), **hook}
        cfg.custom_hooks.append(dict(type='SpikeVisualizationHook', **hook))
    cfg.visualizer.vis_backends = [dict(type=backend) for backend in backends]
    return cfg


@pytest.fixture(scope='module')
def drawn(tmp_path_factory, small_teacher):
    """A distillation run that draws, and its twin that does not."""
    folder = tmp_path_factory.mktemp('drawn')
    torch.set_num_threads(1)
    backends = ['LocalVisBackend'] + ['TensorboardVisBackend'] * (find_spec('tensorboard') is not None)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        Runner.from_cfg(config(folder / 'with', small_teacher, {}, backends)).train()
        Runner.from_cfg(config(folder / 'without', small_teacher)).train()
    return folder


def test_hook_draws_the_student_before_training_and_every_interval(drawn):
    written = images(drawn / 'with')
    assert set(written) == {f'{name}_{epoch}.png' for name in NAMES for epoch in (0, 2)}
    for name in NAMES:
        assert written[f'{name}_0.png'].std() > 0
    assert not np.array_equal(written['sample0_activation_0.png'], written['sample0_activation_2.png'])
    assert not images(drawn / 'without')


def test_drawing_does_not_change_training(drawn):
    a, b = (load_file(str(drawn / name / 'epoch_2.pth')) for name in ('with', 'without'))
    assert all(torch.equal(value, b['state_dict'][key]) for key, value in a['state_dict'].items())


def test_tensorboard_gets_the_same_pictures(drawn):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events, = drawn.rglob('with/*/vis_data/events.out.tfevents.*')
    log = EventAccumulator(str(events)).Reload()
    assert set(log.Tags()['images']) == NAMES
    local = images(drawn / 'with')
    for event in log.Images('sample0_activation'):
        image = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(image, local[f'sample0_activation_{event.step}.png'])
    assert [event.step for event in log.Images('sample0_activation')] == [0, 2]


@pytest.mark.parametrize('hook, message', [
    (dict(layers=['backbone.layer9.neuron']), "no module 'backbone.layer9.neuron' to record. Did you mean"),
    (dict(layers=['backbone.layer1']), "'backbone.layer1' is a Sequential, not a layer of neurons"),
    (dict(samples=[400]), 'sample 400 is out of range: Digits has 400 samples, 0 to 399'),
    (dict(neurons=[99999]), 'neuron 99999 is out of range'),
])
def test_what_cannot_be_drawn_stops_the_run_before_its_first_epoch(tmp_path, hook, message):
    runner = Runner.from_cfg(config(tmp_path, hook=hook))
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert not list(tmp_path.glob('epoch_*.pth')) and not images(tmp_path)


def test_hook_needs_its_visualizer_and_validation_data(tmp_path):
    cfg = config(tmp_path / 'a', hook={})
    cfg.visualizer.type = 'mmpretrain.UniversalVisualizer'
    with pytest.raises(ValueError, match='visualizer=dict.type="SpikeVisualizer".* has a UniversalVisualizer'):
        Runner.from_cfg(cfg).train()
    cfg = config(tmp_path / 'b', hook={})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if 'Teacher' not in hook['type']]
    with pytest.raises(ValueError, match='validation data, but there is none'):
        Runner.from_cfg(cfg).train()
    with pytest.raises(ValueError, match='interval=0 must be at least 1 epoch'):
        SpikeVisualizationHook(interval=0)


def test_student_is_left_in_the_mode_it_was_in(visualizer):
    data = type('Data', (list, ), dict(metainfo={}))()
    runner = SimpleNamespace(model=torch.nn.Linear(1, 1), visualizer=visualizer,
                             val_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=data)))
    for mode in (True, False):
        runner.model.train(mode)
        with pytest.raises(ValueError, match='out of range'):
            SpikeVisualizationHook(samples=[0]).draw(runner, 0)
        assert runner.model.training is mode


def test_default_runtime_has_the_visualizer(tmp_path):
    runner = Runner.from_cfg(demo_config('plain', tmp_path))
    assert isinstance(runner.visualizer, SpikeVisualizer)
    assert isinstance(runner.visualizer.get_backend('LocalVisBackend'), LocalVisBackend)
