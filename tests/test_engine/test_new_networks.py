"""Networks with integer neurons train and are tested from a config, as the others are."""
import json

import pytest
import torch
from mmengine.runner import Runner

from bkdsnn import init_model
from bkdsnn.evaluation import measure_synops
from bkdsnn.models import spike_driven
from helpers import demo_config, run_tool

SFA = dict(type='SFANode', D=4, norm=4)
ILIF = dict(type='ILIFNode', D=4, decay=0.25)


def check_the_tool(folder):
    """Of a test with and without ``--spike-driven``."""
    found = []
    for option in ((), ('--spike-driven', )):
        out = folder / 'metrics.json'
        done = run_tool('tools/test.py', folder / 'kd.py', folder, '--out', out, '--out-item', 'metrics', *option)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(out.read_text())['accuracy/top1'])
    assert found[0] == pytest.approx(found[1], abs=1)  # in fp32, a membrane next to where an integer changes may flip


BACKBONES = {
    'ESpikeFormer': dict(T=1, neuron=SFA, arch=dict(channels=(4, 8, 8, 16, 16), depths=(1, ) * 5, num_heads=2,
                                                    kind='separable')),
    'MaxFormer': dict(T=2, neuron=ILIF, arch=dict(depths=(1, 1, 1), channels=16, num_heads=2, kernel_sizes=(None, 3),
                                                  patch_size=4)),
    'MaxResNet': dict(T=1, neuron=ILIF, arch=dict(layers=(1, 1), widths=(8, 16), stem=4)),
}


@pytest.mark.parametrize('name', BACKBONES)
def test_network_trains_an_epoch_distilled_on_digits_and_infers_with_binary_spikes(name, tmp_path, small_teacher):
    cfg = demo_config('kd', tmp_path, small_teacher, epochs=1)
    cfg.model.student.backbone = dict(type=name, in_channels=1, **BACKBONES[name])
    head = dict(type='SpikingLinearHead', num_classes=10, in_channels=16)
    if name != 'MaxResNet':
        head['neuron'] = dict(BACKBONES[name]['neuron'], norm=1)
    cfg.model.student.head = head
    Runner.from_cfg(cfg).train()
    model = init_model(cfg, str(tmp_path)).double()
    images = torch.randn(8, 1, 8, 8, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(spike_driven(model)(images), model(images), rtol=1e-12, atol=1e-12)
    if name == 'MaxResNet':
        check_the_tool(tmp_path)
    assert measure_synops(model, [images]).time_steps == BACKBONES[name]['T'] * 4
