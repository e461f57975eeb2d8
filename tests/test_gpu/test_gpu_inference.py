"""Predictions on a GPU: those of a CPU, at once, step by step, until sure, and from a stream of events."""
from functools import lru_cache

import numpy as np
import pytest
import torch

from bkdsnn import SpikingInferencer, get_model
from bkdsnn.apis.evaluate import build_loader
from bkdsnn.apis.running import run_at_once, run_until_sure
from bkdsnn.datasets import DigitsDVS
from bkdsnn.evaluation import exit_steps, measure_synops, running_scores
from bkdsnn.models import Stream, fuse_conv_bn
from helpers import REPOSITORY
from on_gpu import assert_near

DEVICES = ('cpu', 'cuda')
SAMPLES = REPOSITORY / 'demo' / 'samples'


@lru_cache
def trained(name='demo/mixed'):
    """The package's trained network in fp64 on both devices, and inputs and labels of its test set on the CPU."""
    models = [get_model(name, pretrained=True, device=device).double() for device in DEVICES]
    batches = [(models[0].data_preprocessor(batch, False), batch['data_samples'])
               for batch in build_loader(models[0].cfg)]
    inputs = [data['inputs'] for data, _ in batches]
    inputs = torch.cat([x['student'] if isinstance(x, dict) else x for x in inputs]).double()
    return models, inputs, torch.cat([sample.gt_label for _, samples in batches for sample in samples])


@torch.no_grad()
def test_answers_are_those_of_a_cpu():
    """In fp64, where no membrane is next to its threshold: each of them, so the accuracy, too."""
    models, inputs, labels = trained()
    (want, spikes), (got, own_spikes) = (run_at_once(model, inputs.to(device))
                                         for model, device in zip(models, DEVICES))
    want, got = torch.stack(want, 1), torch.stack(got, 1)
    assert_near(got, want, 1e-9, 'logits')
    assert torch.equal(spikes, own_spikes.cpu())
    right = [(logits.cpu().mean(0).argmax(-1) == labels).double().mean().item() for logits in (want, got)]
    assert right[0] == right[1] > 0.8, f'accuracy {right}'


@torch.no_grad()
def test_fp32_answers_few_samples_otherwise():
    """Of some 4000 membranes of a digit one in a million is within rounding of its threshold, about one in 250 digits
    has such a one, and of these few are answered otherwise: of 797, three are far more than are to be expected."""
    models, inputs, labels = trained()
    want = models[0](inputs).mean(0).argmax(-1)
    got = get_model('demo/mixed', pretrained=True, device='cuda')(inputs.float().cuda()).mean(0).argmax(-1).cpu()
    other = (got != want).sum().item()
    assert other <= 3, f'{other} of {len(labels)} digits get another answer than in fp64'


@torch.no_grad()
def test_joined_norms_change_nothing():
    models, inputs, _ = trained()
    assert_near(fuse_conv_bn(models[1])(inputs[:100].cuda()), models[0](inputs[:100]), 1e-9, 'logits')


@torch.no_grad()
def test_step_by_step_is_at_once():
    models, inputs, _ = trained()
    frames = inputs[:50].cuda()
    stream = Stream(models[1])
    steps = torch.stack([stream.step(frames) for _ in range(4)])
    assert_near(steps, torch.stack(run_at_once(models[1], frames, 4)[0], 1), 1e-9, 'logits of four steps')
    assert all(membrane.is_cuda for membrane in stream.membranes.values())


@torch.no_grad()
def test_early_exit_is_that_of_a_cpu_and_leaves_after_the_same_steps():
    models, inputs, _ = trained()
    inputs, T = inputs[:200], 4
    results = [run_until_sure(model, inputs.to(device), T, threshold=0.9) for model, device in zip(models, DEVICES)]
    steps = [torch.tensor([len(logits) for logits in result[0]]) for result in results]
    assert 1 < steps[0].double().mean() < T, 'some samples leave early, some do not'
    assert torch.equal(*steps), f'{(steps[0] != steps[1]).sum().item()} samples leave after other steps'
    scores = running_scores(torch.stack(run_at_once(models[1], inputs.cuda(), T)[0], 1))
    assert torch.equal(exit_steps(scores, 0.9).cpu(), steps[1])
    assert torch.equal(results[0][1], results[1][1].cpu()), 'spikes'
    for want, got in zip(results[0][0], results[1][0]):
        assert_near(got, want, 1e-9, 'logits of a sample')


@torch.no_grad()
def test_energy_is_that_of_a_cpu():
    models, inputs, _ = trained()
    want, got = (measure_synops(model, [inputs[:5].to(device)]) for model, device in zip(models, DEVICES))
    for name in ('synops', 'energy', 'firing_rate'):
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-9), name


def test_inferencer_reads_files(tmp_path):
    """It takes the GPU by itself. In fp32 one picture may be answered otherwise."""
    inferencer = SpikingInferencer('demo/mixed')
    assert next(inferencer.model.parameters()).is_cuda
    for options in (dict(batch_size=4), dict(batch_size=4, threshold=0.9, T=4), dict(show_dir=tmp_path)):
        want, got = (SpikingInferencer('demo/mixed', device=device)(SAMPLES / 'digits', **options)
                     for device in DEVICES)
        alike = [a['pred_class'] == b['pred_class'] and a['steps'] == b['steps'] and
                 np.allclose(a['pred_scores'], b['pred_scores'], atol=1e-3) for a, b in zip(want, got)]
        assert len(got) == 10 and alike.count(False) <= 1, f'{options}: {alike}'
    assert len(list(tmp_path.rglob('*.png'))) == 10


@pytest.mark.parametrize('window', [dict(count=60), dict(duration=20000)], ids=str)
def test_a_stream_of_events_is_followed(window):
    framing = dict(type='EventsToFrames', time_steps=4)
    dataset = DigitsDVS('test', labels_per_class=1, pipeline=[framing, dict(type='PackEvents')])
    recordings = [dataset.get_data_info(i)['recording'] for i in range(5)]
    results = []
    for device in DEVICES:
        inferencer = SpikingInferencer('demo/events_mixed', device=device)
        results.append([list(inferencer.stream([events[:97], events[97:]], window)) for events in recordings])
    want, got = results
    assert [len(steps) for steps in got] == [len(steps) for steps in want] and min(map(len, got)) > 1
    # In fp32 one recording may have a membrane next to its threshold.
    alike = [all(a['pred_label'] == b['pred_label'] and abs(a['pred_score'] - b['pred_score']) < 1e-3
                 for a, b in zip(*steps)) for steps in zip(want, got)]
    assert alike.count(False) <= 1, alike
