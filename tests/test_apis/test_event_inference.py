"""Recordings and streams of events in, predictions out."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate

from bkdsnn import SpikingInferencer, inference_model
from bkdsnn.apis.model import published_weights
from bkdsnn.datasets import DigitsDVS
from bkdsnn.datasets.event_files import write_events
from generated_events import generate_events, write_aedat4
from helpers import DEMO


@pytest.fixture(scope='module')
def student():
    """Its config frames a recording for student and teacher."""
    return SpikingInferencer('demo/events_mixed')


@pytest.fixture(scope='module')
def dataset():
    framing = dict(type='EventsToFrames', time_steps=4)
    return DigitsDVS('test', labels_per_class=1, pipeline=[framing, dict(type='PackEvents')])


@pytest.fixture(scope='module')
def recordings(dataset):
    return [dataset.get_data_info(i)['recording'] for i in range(len(dataset))]


def student_with(*framing):
    """The trained student with another test pipeline."""
    cfg = Config.fromfile(DEMO / 'events_mixed.py')
    cfg.test_dataloader.dataset.pipeline = [*framing, dict(type='PackEvents')]
    return SpikingInferencer(cfg, published_weights()['demo/events_mixed'])


def chunks_of(events, size=97):
    return (events[start:start + size] for start in range(0, len(events), size))


def test_scores_are_those_of_testing(student, dataset, recordings):
    with torch.no_grad():
        tested = student.model.test_step(default_collate([dataset[i] for i in range(len(dataset))]))
    results = student(recordings, batch_size=3)
    for i, (result, sample) in enumerate(zip(results, tested)):
        np.testing.assert_allclose(result['pred_scores'], sample.pred_score.numpy(), rtol=1e-4, atol=1e-6)
        assert result['steps'] == 4 and result['spikes'] > 0 and result['name'] == f'input {i}'
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    assert sum(result['pred_label'] == label for result, label in zip(results, labels)) >= 8


def test_teacher_and_student_see_their_own_number_of_frames(recordings):
    assert SpikingInferencer('demo/events_teacher')(recordings[0])[0]['steps'] == 16
    assert SpikingInferencer('demo/events_plain')(recordings[0])[0]['steps'] == 4


def test_recordings_are_read_from_all_kinds_of_files(student, recordings, tmp_path):
    events = recordings[0]
    write_events(tmp_path / 'a.npy', events)
    write_aedat4(tmp_path / 'b.aedat4', events, size=(20, 20))
    rows = np.zeros((len(events), 5), np.uint8)  # as N-MNIST: x, y, polarity and 23 bits of time
    t = events['t'].astype(np.uint32)
    rows[:, 0], rows[:, 1] = events['x'], events['y']
    rows[:, 2] = events['p'].astype(np.uint32) << 7 | t >> 16
    rows[:, 3], rows[:, 4] = t >> 8 & 255, t & 255
    (tmp_path / 'c.bin').write_bytes(rows.tobytes())
    results = student(tmp_path, batch_size=3)
    assert [Path(result['name']).name for result in results] == ['a.npy', 'b.aedat4', 'c.bin']
    for result in results:
        np.testing.assert_allclose(result['pred_scores'], student(events)[0]['pred_scores'], rtol=1e-4)


def test_what_cannot_be_read_is_reported_and_the_rest_is_done(student, recordings, tmp_path):
    for name in ('a', 'b', 'c'):
        write_events(tmp_path / f'{name}.npy', recordings[0])
    (tmp_path / 'b.npy').write_bytes((tmp_path / 'b.npy').read_bytes()[:-100])
    (tmp_path / 'd.bin').write_bytes(b'1234567')
    large = generate_events(50, size=(34, 34))
    inputs = [tmp_path, large, recordings[0]['t'], np.zeros((3, 4)), 'nowhere.npy', recordings[1]]
    results = student(inputs, batch_size=4)
    assert [('error' in result) for result in results] == [False, True, False, True, True, True, True, True, False]
    errors = [result.get('error') for result in results]
    assert str(tmp_path / 'b.npy') in errors[1] and str(tmp_path / 'd.bin') in errors[3]
    assert errors[4].startswith('input 1: ') and 'outside 0 to 19 (sensor_size=(20, 20, 2))' in errors[4]
    assert 'structured array' in errors[5] and 'structured array' in errors[6] and 'nowhere.npy' in errors[7]
    for i, want in ((0, 0), (2, 0), (8, 1)):
        np.testing.assert_allclose(results[i]['pred_scores'], student(recordings[want])[0]['pred_scores'], rtol=1e-4)
    with pytest.raises(ValueError, match='outside 0 to 19'):
        inference_model(student.model, large)


def test_unsorted_recordings_are_predicted_and_empty_ones_are_not(student, recordings):
    shuffled = np.random.default_rng(0).permutation(recordings[0])
    in_order, mixed, empty = student([recordings[0], shuffled, recordings[0][:0]], batch_size=3)
    # Events of equal time may be framed in another order.
    np.testing.assert_allclose(mixed['pred_scores'], in_order['pred_scores'], atol=0.1)
    assert empty == dict(name='input 2', error='input 2: the recording has no events, so there is nothing to predict '
                                               'from.')


def test_recording_of_which_the_pipeline_leaves_nothing_is_not_predicted(recordings):
    late = student_with(dict(type='CropTime', start=10**9), dict(type='EventsToFrames', time_steps=4))
    (result, ) = late(recordings[0])
    assert 'leaves no event of the recording' in result['error']


def test_other_time_steps_frame_the_recording_anew(student, recordings, monkeypatch):
    said = []
    monkeypatch.setattr('bkdsnn.apis.inferencer.print_log', lambda line, **kwargs: said.append(line))
    results = student(recordings[:3], T=8, batch_size=3)
    student(recordings[:3], T=2, batch_size=3)
    assert ['fewer events' in line for line in said] == [True, False]
    assert {result['step_scores'].shape for result in results} == {(8, 10)}
    eight = student_with(dict(type='EventsToFrames', time_steps=8))
    assert eight.time_steps == 8 and student.time_steps == 4
    np.testing.assert_allclose(results[0]['step_scores'], eight(recordings[0])[0]['step_scores'], rtol=1e-3)


def test_pictures_show_all_events(student, recordings, tmp_path):
    student(recordings[:2], show_dir=tmp_path, threshold=0.9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['input_0.png', 'input_1.png']


def test_sensor_must_be_known():
    with pytest.raises(ValueError, match=r'give sensor_size=\(width, height\)'):
        SpikingInferencer('demo/events_mixed', pretrained=False)


# ---- streams ----


def test_stream_gives_step_by_step_what_the_whole_recording_gives(student, recordings):
    for events in recordings[:3]:
        whole = student(events)[0]
        steps = list(student.stream(chunks_of(events), dict(count=len(events) // 4)))
        # The whole recording's last frame has what remains, up to three events; here they make a frame of their own.
        np.testing.assert_allclose([s['pred_scores'] for s in steps[:3]], whole['step_scores'][:3], rtol=1e-4)
        assert sum(s['events'] for s in steps) == len(events) and [s['step'] for s in steps][:4] == [1, 2, 3, 4]
        if len(events) % 4 == 0:
            assert sum(s['spikes'] for s in steps) == whole['spikes']
    events = recordings[0][:len(recordings[0]) // 4 * 4]
    steps = list(student.stream(chunks_of(events), dict(count=len(events) // 4)))
    assert sum(s['spikes'] for s in steps) == student(events)[0]['spikes']
    assert steps[-1]['pred_class'] == student(events)[0]['pred_class']


def test_stream_averages_over_the_latest_steps_alone(student, recordings):
    window = dict(count=200)
    every = list(student.stream(chunks_of(recordings[0]), window, last=1))
    by_default = list(student.stream(chunks_of(recordings[0]), window))
    assert len(every) > 8
    for i, step in enumerate(by_default):
        # The softmax of mean logits, from the softmax of each.
        logs = np.log([s['pred_scores'] for s in every[max(0, i - 3):i + 1]]).mean(0)
        np.testing.assert_allclose(step['pred_scores'], np.exp(logs) / np.exp(logs).sum(), rtol=1e-3, atol=1e-6)


def test_streams_may_run_in_turn_and_the_network_is_left_as_it_was(student, recordings):
    want = [list(student.stream(chunks_of(r), dict(duration=75_000))) for r in recordings[:2]]
    whole = student(recordings[0])[0]['pred_scores']
    streams = [student.stream(chunks_of(r), dict(duration=75_000)) for r in recordings[:2]]
    for steps in zip(*want):
        for stream, step in zip(streams, steps):
            np.testing.assert_array_equal(next(stream)['pred_scores'], step['pred_scores'])
        np.testing.assert_array_equal(student(recordings[0])[0]['pred_scores'], whole)


def test_stream_uses_the_framing_of_the_config(recordings):
    events = recordings[0]
    framing = dict(type='EventsToFrames', time_steps=4, by='window', window=80_000, max_count=1)
    binary = student_with(framing)
    cropped = student_with(dict(type='CropTime', stop=50_000), framing)  # a stream has no end
    want = binary(events)[0]['step_scores']
    assert not np.allclose(cropped(events)[0]['step_scores'], want, rtol=1e-2)
    for inferencer in (binary, cropped):
        steps = list(inferencer.stream(chunks_of(events), dict(duration=80_000)))
        np.testing.assert_allclose([step['pred_scores'] for step in steps], want, rtol=1e-4)


def test_what_cannot_be_streamed_is_an_error(student, recordings):
    with pytest.raises(ValueError, match='EventsToVoxelGrid depend on the whole recording'):
        student_with(dict(type='EventsToVoxelGrid', time_steps=4)).stream([], dict(count=5))
    with pytest.raises(ValueError, match='not a spiking network for events'):
        SpikingInferencer('demo/mixed').stream([], dict(count=5))
    with pytest.raises(ValueError, match='count=0'):
        student.stream([], dict(count=0))
    with pytest.raises(ValueError, match='last=0'):
        student.stream([], dict(count=5), last=0)
    with pytest.raises(ValueError, match='outside 0 to 19'):
        list(student.stream([generate_events(50, size=(34, 34))], dict(count=5)))
