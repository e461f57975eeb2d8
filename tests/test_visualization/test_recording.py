"""A recording is what the network does: spikes, membranes before their reset, and where a class is seen."""
import copy

import numpy as np
import pytest
import torch
from mmcv import imwrite
from mmengine.model import MMDistributedDataParallel
from mmpretrain.structures import DataSample

import golden
from bkdsnn import SpikingInferencer, get_model
from bkdsnn.models import BaseNode, Stream
from bkdsnn.models import spike_driven as unfold
from bkdsnn.models.distillers.recorder import FeatureRecorder
from bkdsnn.models.unfolding import is_spike_driven
from bkdsnn.registry import DATASETS, MODELS
from bkdsnn.visualization.browse import event_image
from bkdsnn.visualization.pictures import describe, draw_recording
from bkdsnn.visualization.recording import (
    check_neurons,
    choose_neurons,
    class_maps,
    firing_rate_map,
    record,
    student_of,
)
from bkdsnn.visualization.samples import Sample, read_sample, take_sample
from bkdsnn.visualization.spikes import membrane_course
from generated_events import generate_events
from helpers import tiny_student

LIF = dict(golden.LIF, v_threshold=0.3)
SOFT = dict(LIF, v_reset=None)
NODE = 'backbone.layer1.0.unit2.neuron'
DIGITS = dict(type='Digits', split='test', test_mode=True, pipeline=[dict(type='mmpretrain.PackInputs')])


def network(neuron=golden.IF, **backbone):
    """A student whose norms have seen data, so that its neurons fire."""
    torch.manual_seed(0)
    cfg = tiny_student(neuron=neuron, **backbone)
    model = MODELS.build(dict(cfg, data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', mean=[0], std=[1])))
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(16, model.backbone.stem.conv.in_channels, 8, 8))
    model.head.fc.bias.data.normal_()
    return model.eval()


def image():
    return dict(inputs=torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)), data_samples=[DataSample()])


@pytest.mark.parametrize('spike_driven', [False, True])
def test_recording_of_integers_has_their_binary_steps(spike_driven):
    model, data = network(dict(type='ILIFNode', D=3, decay=0.25), T=2), image()
    with FeatureRecorder(model, [NODE]) as recorder:
        logits = model(data['inputs'])
    model = unfold(model) if spike_driven else model
    recording = record(model, data, [NODE])
    spikes, charged, *_ = recording.layers[NODE]
    assert spikes.shape[0] == 6 and set(spikes.unique().tolist()) == {0.0, 1.0} and charged is None
    assert torch.equal(spikes.unflatten(0, (2, 3)).sum(1), recorder.features[NODE][:, 0])
    torch.testing.assert_close(recording.logits, logits[:, 0])
    assert is_spike_driven(model) == spike_driven
    figures = draw_recording(recording, Sample(data, np.zeros((8, 8), np.uint8), None, 'x', None))
    assert f'raster_{NODE}' in figures and not any(name.startswith('membrane') for name in figures)


@pytest.mark.parametrize('neuron', [golden.IF, LIF, SOFT], ids=['if', 'lif', 'soft'])
def test_recording_holds_the_spikes_membranes_and_logits_of_the_network(neuron):
    model, data = network(neuron, T=4), image()
    recording = record(model, data, [NODE])
    with FeatureRecorder(model, [NODE]) as recorder:
        logits = model(data['inputs'])
    torch.testing.assert_close(recording.logits, logits[:, 0])
    layer = recording.layers[NODE]
    assert torch.equal(layer.spikes, recorder.features[NODE][:, 0]) and 0 < layer.spikes.mean() < 1
    assert torch.equal(layer.spikes > 0, layer.charged >= neuron['v_threshold'])
    assert (layer.threshold, layer.reset) == (neuron['v_threshold'], neuron['v_reset'])
    assert recording.predicted == int(logits.mean(0).argmax())
    torch.testing.assert_close(recording.scores[-1], logits.mean(0)[0].softmax(-1))


@pytest.mark.parametrize('neuron', [golden.IF, SOFT], ids=['hard', 'soft'])
def test_membranes_after_their_reset_are_those_that_a_stream_holds(neuron):
    model, data = network(neuron, T=3), image()
    layer = record(model, data, [NODE]).layers[NODE]
    course = membrane_course(layer.charged.flatten(1).numpy(), layer.spikes.flatten(1).numpy(), layer.threshold,
                             layer.reset)[1]
    stream = Stream(model)
    for after in course[2::2]:
        stream.step(data['inputs'])
        np.testing.assert_allclose(after, stream.membranes[NODE].flatten(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('label', [None, 3])
def test_class_maps_add_up_to_the_logits(label):
    model = network(T=3)
    recording = record(model, image(), label=label)
    maps = recording.class_maps
    assert maps.label == (recording.predicted if label is None else label) and maps.are_exact
    assert maps.maps.shape == (3, 4, 4) and maps.maps.std() > 0
    sums = maps.maps.mean((-2, -1)) + model.head.fc.bias[maps.label].detach()
    torch.testing.assert_close(sums, recording.logits[:, maps.label])


def test_class_maps_of_a_linear_head_weigh_channels_by_the_classifier():
    head, features = network().head, torch.randn(2, 1, 8, 3, 3)
    maps = class_maps(head, features, 5).maps
    torch.testing.assert_close(maps, torch.einsum('c,tbchw->thw', head.fc.weight[5].detach(), features))


def test_class_maps_of_a_head_with_a_neuron_use_its_surrogate_gradient():
    """One channel, one step: the weight is w * surrogate'(mean - threshold), here of ATan with alpha 2."""
    head = MODELS.build(dict(type='SpikingLinearHead', num_classes=2, in_channels=1, neuron=golden.IF))
    features = torch.tensor([[0.2, 0.6]]).view(1, 1, 1, 1, 2)
    result = class_maps(head, features, 1)
    gradient = 1 / (1 + (torch.pi * (0.4 - 1))**2)
    torch.testing.assert_close(result.maps.flatten(), head.fc.weight[1].detach() * gradient * features.flatten())
    assert not result.are_exact and head.fc.weight.grad is None


def test_events_are_recorded_frame_by_frame_from_the_student_s_view():
    model = network(in_channels=2)
    model.data_preprocessor = MODELS.build(dict(type='EventDataPreprocessor', num_classes=10))
    frames = torch.rand(1, 5, 2, 8, 8) * 5
    recording = record(model, dict(inputs=dict(student=frames, teacher=frames[:, :3]), data_samples=[DataSample()]))
    torch.testing.assert_close(recording.logits, model(frames)[:, 0])
    assert len(recording.class_maps.maps) == 5
    with pytest.raises(ValueError, match='time_steps=3 is for static images; these events have 5 frames'):
        record(model, dict(inputs=frames, data_samples=[DataSample()]), time_steps=3)


def test_static_image_may_be_shown_longer():
    model, data = network(T=2), image()
    recording = record(model, data, time_steps=6)
    model.backbone.T = 6
    torch.testing.assert_close(recording.logits, model(data['inputs'])[:, 0])


def test_layers_are_the_last_neurons_of_the_stages_unless_named():
    model = network()
    stages = ['backbone.stem.neuron', NODE, 'backbone.layer2.0.unit2.neuron']
    assert list(record(model, image()).layers) == stages
    with pytest.raises(ValueError, match="no module 'backbone.layer7' to record. Did you mean 'backbone.layer"):
        record(model, image(), ['backbone.layer7'])
    with pytest.raises(ValueError, match="'backbone.layer1' is a Sequential, not a layer of neurons. Neurons are "
                       'backbone.layer1.0.unit1.neuron, backbone.layer1.0.unit2.neuron'):
        record(model, image(), ['backbone.layer1'])


@pytest.mark.parametrize('options, message', [
    (dict(label=10), 'class 10 does not exist; the network knows 10, 0 to 9'),
    (dict(time_steps=0), 'time_steps=0 must be at least 1'),
    (dict(data=dict(inputs=torch.zeros(2, 1, 8, 8), data_samples=None)), 'one sample .* a batch of 2'),
])
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        record(network(), **{'data': image(), **options})


def test_network_in_training_mode_and_without_neurons_cannot_be_recorded():
    with pytest.raises(ValueError, match='eval mode'):
        record(network().train(), image())
    with pytest.raises(ValueError, match='no spiking neuron'):
        record(torch.nn.Linear(1, 1).eval(), image())


def test_neuron_that_draws_random_numbers_is_refused():

    class NoisyIF(BaseNode):

        def charge(self, x, v):
            return v + x + 0.1 * torch.randn_like(x)

    model = network()
    options = {key: value for key, value in golden.IF.items() if key != 'type'}
    model.backbone.layer1[0].unit2.neuron = NoisyIF(**options)
    with pytest.raises(ValueError, match=f'membranes of {NODE!r} .NoisyIF. cannot be drawn'):
        record(model, image())


def test_recording_leaves_the_network_as_it_was():
    model, data = network(), image()
    state, inputs = copy.deepcopy(model.state_dict()), data['inputs'].clone()
    record(model, data)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(data['inputs'], inputs)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_most_active_neurons_come_first_and_silent_ones_not_at_all():
    spikes = torch.tensor([[0, 1, 1, 0, 0, 1], [0, 1, 0, 0, 1, 1]]).view(2, 1, 2, 3)
    assert choose_neurons(spikes, 10) == [1, 5, 2, 4]
    assert choose_neurons(spikes, 2) == [1, 4]  # the ends of the order
    assert choose_neurons(spikes, 1) == [1]
    assert choose_neurons(torch.zeros(2, 5), 3) == [0, 1, 2]


def test_neuron_out_of_range_gets_the_range():
    check_neurons([0, 63], (4, 4, 4), 'x')
    for neuron in (-1, 64):
        with pytest.raises(ValueError, match=f'neuron {neuron} is out of range: x has 64 neurons, 0 to 63, .* 4x4x4'):
            check_neurons([3, neuron], (4, 4, 4), 'x')


def test_firing_rate_is_the_mean_over_time_and_channels():
    spikes = torch.zeros(2, 3, 1, 2)
    spikes[0, :, 0, 1] = spikes[1, 0, 0, 1] = 1
    torch.testing.assert_close(firing_rate_map(spikes), torch.tensor([[0, 4 / 6]]))


def test_student_is_found_in_a_distiller_and_a_wrapper():
    student = network()
    distiller = torch.nn.Module()
    distiller.student = student
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    torch.nn.Module.__init__(wrapper)
    wrapper.module = distiller
    assert student_of(wrapper) is student_of(distiller) is student_of(student) is student


# ---- pictures of a sample ----


def test_pictures_are_named_by_layer_and_say_what_was_predicted():
    model, data = network(T=3), image()
    recording = record(model, data, [NODE])
    sample = Sample(data, np.zeros((8, 8), np.uint8), None, 'sample 4', 7)
    assert describe(recording, sample, [f'digit {i}' for i in range(10)]) == (
        f'sample 4: predicted digit {recording.predicted} ({100 * recording.scores[-1].max():.0f} %), true digit 7')
    figures = draw_recording(recording, sample, [0, 5, 18])
    assert list(figures) == [f'raster_{NODE}', f'membrane_{NODE}', f'rate_{NODE}', 'activation']
    raster = figures[f'raster_{NODE}'].axes[0]
    layer = recording.layers[NODE]
    np.testing.assert_array_equal(raster.collections[0].get_array(), layer.spikes.flatten(1)[:, [0, 5, 18]].T)
    # 8x8 places a channel, so 18 is in the third row of the first one.
    assert [label.get_text() for label in raster.get_yticklabels()] == ['0 (c0 y0 x0)', '5 (c0 y0 x5)', '18 (c0 y2 x2)']
    assert 'true 7' in figures['activation'].get_suptitle() and NODE in figures[f'rate_{NODE}'].get_suptitle()
    with pytest.raises(ValueError, match='neuron 256 is out of range'):
        draw_recording(recording, sample, [256])


def test_neurons_of_a_head_have_no_map():
    torch.manual_seed(0)
    cfg = tiny_student()
    cfg['head']['neuron'] = dict(golden.IF, v_threshold=0.1)
    model = MODELS.build(dict(cfg, data_preprocessor=dict(mean=[0], std=[1]))).eval()
    data = image()
    sample = Sample(data, np.zeros((8, 8), np.uint8), None, 'x', None)
    figures = draw_recording(record(model, data, ['head.neuron']), sample)
    assert list(figures) == ['raster_head.neuron', 'membrane_head.neuron', 'activation']
    assert any('surrogate' in axes.get_ylabel() for axes in figures['activation'].axes)


def test_sample_of_a_data_set_is_taken_by_index():
    dataset = DATASETS.build(DIGITS)
    sample = take_sample(dataset, 3)
    assert sample.label == dataset.get_data_info(3)['gt_label'] and sample.frames is None
    np.testing.assert_array_equal(sample.image, dataset.get_data_info(3)['img'][..., 0])
    for idx in (-1, len(dataset)):
        with pytest.raises(ValueError, match=f'sample {idx} is out of range: Digits has 897 samples, 0 to 896'):
            take_sample(dataset, idx)


def test_events_are_drawn_frame_by_frame_and_as_a_whole():
    pipeline = [dict(type='EventsToFrames', time_steps=3), dict(type='PackEvents')]
    dataset = DATASETS.build(dict(type='DigitsDVS', split='test', test_mode=True, pipeline=pipeline))
    sample = take_sample(dataset, 0)
    frames = dataset[0]['inputs'].numpy()
    np.testing.assert_array_equal(sample.frames, [event_image(frame) for frame in frames])
    np.testing.assert_array_equal(sample.image, event_image(frames.sum(0)))


def test_files_are_read_as_an_inferencer_reads_them(tmp_path):
    inferencer = SpikingInferencer(get_model('demo/mixed'))
    scan = DATASETS.build(DIGITS).get_data_info(5)['img']
    imwrite(np.repeat(scan.repeat(4, 0).repeat(4, 1), 3, -1), str(tmp_path / 'scan.png'))
    sample = read_sample(inferencer, str(tmp_path / 'scan.png'))
    assert sample.name == 'scan.png' and sample.label is None
    np.testing.assert_array_equal(sample.data['inputs'][0], scan.transpose(2, 0, 1))
    recording = record(inferencer.model, sample.data)
    scores = inferencer(str(tmp_path / 'scan.png'))[0]['step_scores']
    np.testing.assert_allclose(recording.scores, scores, rtol=1e-5, atol=1e-6)
    (tmp_path / 'bad.png').write_text('no image')
    with pytest.raises(OSError, match='bad.png cannot be read as an image'):
        read_sample(inferencer, str(tmp_path / 'bad.png'))


def test_recordings_are_read_too(tmp_path):
    inferencer = SpikingInferencer(get_model('demo/events_mixed'), sensor_size=(20, 20))
    np.save(tmp_path / 'events.npy', generate_events(300, size=(20, 20)))
    sample = read_sample(inferencer, str(tmp_path / 'events.npy'))
    assert sample.frames.shape == (4, 20, 20, 3)
    assert len(record(inferencer.model, sample.data).logits) == 4
