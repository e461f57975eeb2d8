"""export_nir.py, export_onnx.py and export_program.py, as a user calls them."""
import re

import pytest
import torch

import golden
from bkdsnn import get_model
from bkdsnn.export import Deployed, check, from_nir, nir_runner, onnx_runner, run_nir
from helpers import DEMO, run_tool, tiny_student

pytest.importorskip('nir')
pytest.importorskip('nirtorch')
pytest.importorskip('onnxruntime')
WEIGHTS = DEMO / 'weights'


def weights(name):
    return next(WEIGHTS.glob(f'{name}-*.pth'))


@pytest.fixture
def run(tmp_path):
    """The work directory of a run whose student has the weights of the package."""
    torch.save(torch.load(weights('mixed'), weights_only=True), tmp_path / 'epoch_1.pth')
    return tmp_path


def student_config(path, backbone):
    """A config file with a student that is not trained."""
    path.write_text(f'model = {dict(tiny_student(), backbone=backbone)!r}\ndefault_scope = "bkdsnn"\n'
                    'test_dataloader = dict(dataset=dict(type="Digits", split="test", pipeline=[]))\n')
    torch.save(get_state(path), path.with_suffix('.pth'))
    return path, path.with_suffix('.pth')


def get_state(path):
    from bkdsnn import init_model
    return init_model(str(path)).state_dict()


def test_student_of_a_run_is_written_to_nir_and_gives_its_logits(run):
    done = run_tool('tools/export_nir.py', DEMO / 'mixed.py', run, '--out', run / 'student.nir')
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r'Wrote .*student.nir: 0.\d\d MB, input 1x8x8, pixels from 0 to 255', done.stdout)
    assert 'Checked on 4 samples of the test data: logits differ by at most ' in done.stdout
    assert '24 nodes: 10 Conv2d, 9 IF' in done.stdout and 'Run it for 2 steps of 0.0001 s' in done.stdout
    deployed = Deployed(get_model('demo/mixed', pretrained=True))
    pixels = torch.randint(0, 256, (20, 1, 8, 8)).float()
    check(deployed, nir_runner((run / 'student.nir').read_bytes(), deployed), pixels)
    module = from_nir(str(run / 'student.nir'), dtype=torch.float64)
    torch.testing.assert_close(run_nir(module, pixels.double(), 2), deployed.double().logits(pixels.double()))


def test_student_of_events_is_written_to_onnx(tmp_path):
    done = run_tool('tools/export_onnx.py', DEMO / 'events_mixed.py', weights('events_mixed'), '--out',
                    tmp_path / 'student.onnx', '--batch-size', 2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'input 4x2x10x10, frames of event counts' in done.stdout
    assert 'Checked on 2 samples of the test data: ' in done.stdout
    assert 'Input inputs (2, 4, 2, 10, 10)' in done.stdout and 'Output step_logits (4, 2, 10)' in done.stdout
    frames = torch.poisson(torch.full((2, 4, 2, 10, 10), 0.5))
    deployed = Deployed(get_model('demo/events_mixed', pretrained=True))
    check(deployed, onnx_runner((tmp_path / 'student.onnx').read_bytes()), frames)


def test_program_takes_preprocessed_images_and_other_numbers_of_steps(run):
    done = run_tool('tools/export_program.py', DEMO / 'mixed.py', run, '--out', run / 'student.pt2', '--no-normalise',
                    '--no-check', '--cfg-options', 'student.backbone.T=5', 'model.student.backbone.T=3')
    assert done.returncode != 0 and 'student.backbone.T' in done.stderr
    done = run_tool('tools/export_program.py', DEMO / 'mixed.py', run, '--out', run / 'student.pt2', '--no-normalise',
                    '--no-check', '--cfg-options', 'model.student.backbone.T=3')
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'input 1x8x8, preprocessed' in done.stdout and 'Not checked.' in done.stdout
    images = torch.randn(3, 1, 8, 8)
    scores, logits = torch.export.load(str(run / 'student.pt2')).module()(images)
    model = get_model('demo/mixed', pretrained=True)
    model.backbone.T = 3
    torch.testing.assert_close(logits, model(images), rtol=1e-5, atol=1e-5)
    assert scores.shape == (3, 10)


def test_network_that_nir_cannot_hold_is_an_error_and_writes_nothing(tmp_path):
    soft = dict(tiny_student()['backbone'], neuron=dict(golden.IF, v_reset=None))
    done = run_tool('tools/export_nir.py', *student_config(tmp_path / 'soft.py', soft), '--out', tmp_path / 'soft.nir',
                    '--shape', 1, 8, 8)
    assert done.returncode != 0 and not (tmp_path / 'soft.nir').exists()
    assert 'NIR cannot hold backbone.stem.neuron (IFNode): a soft reset' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('arguments, message', [
    (['--shape', 8, 8], '--shape 8 8 must be C H W'),
    (['--shape', 3, 8, 8], 'the student does not take samples of 3x8x8 (--shape): '),
    (['--num-samples', 0], '--num-samples 0 must be at least 1'),
    (['--dt', 0], 'dt=0.0 must be positive')])
def test_arguments_out_of_range_are_named(arguments, message, tmp_path):
    done = run_tool('tools/export_nir.py', DEMO / 'mixed.py', weights('mixed'), '--out', tmp_path / 'a.nir', *arguments)
    assert done.returncode != 0 and message in done.stderr and not list(tmp_path.iterdir())


def test_missing_folder_is_found_before_anything_is_computed(tmp_path):
    done = run_tool('tools/export_onnx.py', DEMO / 'mixed.py', weights('mixed'), '--out', tmp_path / 'none' / 'a.onnx')
    assert done.returncode != 0 and 'does not exist; make it first' in done.stderr
