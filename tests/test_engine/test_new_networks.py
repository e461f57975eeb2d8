"""Networks with integer neurons train and are tested from a config, as the others are."""
import json

import pytest
import torch
from mmengine.runner import Runner

from bkdsnn import init_model
from bkdsnn.evaluation import measure_synops
from bkdsnn.models import spike_driven
from helpers import ILIF, ILIF_BACKBONES, demo_config, run_tool


def check_the_tool(folder):
    """Of a test with and without ``--spike-driven``."""
    found = []
    for option in ((), ('--spike-driven', )):
        out = folder / 'metrics.json'
        done = run_tool('tools/test.py', folder / 'kd.py', folder, '--out', out, '--out-item', 'metrics', *option)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(out.read_text())['accuracy/top1'])
    assert found[0] == pytest.approx(found[1], abs=1)  # in fp32, a membrane next to where an integer changes may flip


BACKBONES = dict(ILIF_BACKBONES,
                 SEWResNet=dict(T=1, neuron=ILIF, arch=dict(layers=(1, 1), widths=(8, 16)), stem='small'))
# Layers that multiply: the first one, and what stands behind a mean over space or reads currents.
MULTIPLY = {
    'ESpikeFormer': ['backbone.downsamples.0.conv'], 'MaxFormer': ['backbone.embeddings.0.stem.conv'],
    'MaxResNet': ['backbone.stem.conv', *(f'backbone.stages.{i}.0.downsample.conv' for i in range(2)), 'head.fc'],
    'SEWResNet': ['backbone.stem.conv', 'head.fc'],
}
# Its five stages halve a picture four times.
SIZES = dict(ESpikeFormer=16)


def enlarge(cfg, size):
    """Larger digits for the student; the teacher sees them as they were."""
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.pipeline = [*dataset.pipeline[:-1], dict(type='mmpretrain.Resize', scale=size), dataset.pipeline[-1]]
    cfg.model.teacher.input_size = 8
    cfg.model.input_shape = (1, size, size)


def check_the_energy_table(folder, multiply):
    """Its energy is that of binary spikes, which all layers but a few add up."""
    done = run_tool('tools/analysis_tools/get_synops.py', folder / 'kd.py', folder, '--num-samples', 4, '--json',
                    folder / 'cost.json')
    assert done.returncode == 0, done.stderr[-2000:]
    cost = json.loads((folder / 'cost.json').read_text())['student']
    assert cost['energy'] == pytest.approx(4.6e-12 * cost['multiplied'] + 0.9e-12 * cost['synops'])
    adding = [layer for layer in cost['layers'] if layer['input'] in ('spikes', 'integers')]
    assert all(layer['synops'] == pytest.approx(layer['firing_rate'] * layer['macs']) for layer in adding)
    assert all(layer['firing_rate'] <= 1 for layer in adding if layer['input'] == 'spikes')
    assert [layer['name'] for layer in cost['layers'] if layer not in adding] == multiply


@pytest.mark.parametrize('name', BACKBONES)
def test_network_trains_an_epoch_distilled_on_digits_and_infers_with_binary_spikes(name, tmp_path, small_teacher):
    cfg = demo_config('kd', tmp_path, small_teacher, epochs=1)
    cfg.model.student.backbone = dict(type=name, in_channels=1, **BACKBONES[name])
    head = dict(type='SpikingLinearHead', num_classes=10, in_channels=16)
    size = SIZES.get(name, 8)
    if size != 8:
        enlarge(cfg, size)
    if 'ResNet' not in name:
        head['neuron'] = dict(BACKBONES[name]['neuron'], norm=1)
    cfg.model.student.head = head
    Runner.from_cfg(cfg).train()
    model = init_model(cfg, str(tmp_path)).double()
    images = torch.randn(8, 1, size, size, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(spike_driven(model)(images), model(images), rtol=1e-12, atol=1e-12)
    if name == 'MaxResNet':
        check_the_tool(tmp_path)
    assert measure_synops(model, [images]).time_steps == BACKBONES[name]['T'] * 4
    check_the_energy_table(tmp_path, MULTIPLY[name])
