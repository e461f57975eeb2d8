"""tools/visualization/vis_spikes.py, as a user calls it."""
import cv2
import pytest
import torch

from bkdsnn import get_model
from helpers import DEMO, run_tool

TOOL = 'tools/visualization/vis_spikes.py'
LAYERS = ['backbone.layer1.0.unit1.neuron', 'backbone.layer3.0.unit2.neuron']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'student.pth'
    torch.save(dict(state_dict=get_model('demo/mixed').state_dict()), path)
    return path


def test_every_picture_of_a_sample_is_written_and_listed(checkpoint, tmp_path):
    config = tmp_path / 'mixed.py'  # with a transform of this package, by its name alone
    config.write_text(f"_base_ = ['{DEMO}/mixed.py']\ntest_dataloader = dict(dataset=dict(pipeline=["
                      "dict(type='CentralSquare', scale=8), dict(type='mmpretrain.PackInputs')]))\n")
    done = run_tool(TOOL, config, checkpoint, '--layers', *LAYERS, '--sample-idx', 7, '--neurons', 3, 14,
                    '--time-steps', 3, '--class-idx', 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    first, *listed = done.stdout.splitlines()
    assert first.startswith('sample 7: predicted ') and ', true ' in first
    folder = tmp_path / 'work_dirs' / 'spikes' / 'mixed'
    names = [f'00007_{kind}_{layer}.png' for layer in LAYERS for kind in ('raster', 'membrane', 'rate')]
    assert [path.rsplit('/', 1)[-1] for path in listed] == [*names, '00007_activation.png']
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, '00007_activation.png'])
    assert all(cv2.imread(str(path)).std() > 0 for path in folder.iterdir())


def test_bad_layer_is_one_line_and_writes_nothing(checkpoint, tmp_path):
    done = run_tool(TOOL, DEMO / 'mixed.py', checkpoint, '--layers', 'backbone.layer7', '--out-dir', tmp_path / 'out')
    assert done.returncode != 0 and 'Traceback' not in done.stderr
    assert "no module 'backbone.layer7' to record. Did you mean 'backbone.layer" in done.stderr
    assert not (tmp_path / 'out').exists()
