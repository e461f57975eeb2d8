"""Students as programs of torch.export and as ONNX models."""
import io
import sys

import pytest
import torch
from mmengine.registry import DefaultScope

import golden
from bkdsnn.export import Deployed, check, onnx_runner, program_runner, program_to_bytes, to_onnx, to_program
from helpers import REPOSITORY, SMALL_BACKBONES, firing, small_network, tiny_student

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
onnxruntime = pytest.importorskip('onnxruntime')


def run(content, inputs):
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    return [torch.from_numpy(x) for x in session.run(['scores', 'step_logits'], {'inputs': inputs.numpy()})]


def test_sew_resnet18_in_onnx_gives_the_recorded_logits():
    """The student gives them in double precision, and the ONNX model what the student does, but for rounding."""
    case, student = golden.load('sew_resnet18'), golden.sew_resnet18().eval()
    torch.testing.assert_close(student(case['in/x']).mean(0), case['out/eval/logits'], rtol=1e-5, atol=1e-5)
    student.backbone.T = 1  # a quarter of the operations
    deployed, images = Deployed(student.float()), case['in/x'].float()
    model = to_onnx(to_program(deployed, (3, 64, 64), batch_size=2))
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    result = check(deployed, onnx_runner(content), images)
    assert result.difference < 1e-5 and result.firing_rate > 0.1
    scores, logits = run(content, images)
    torch.testing.assert_close(scores, logits.mean(0).softmax(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('backbone', SMALL_BACKBONES)
def test_every_backbone_runs_as_a_program_and_in_onnx(backbone):
    model, frames = small_network(backbone)
    if backbone in ('QKFormer', 'MetaSpikeFormer'):  # of many operations
        frames = frames[:, :1]
    deployed = Deployed(model)
    program = to_program(deployed, frames.shape[1:], batch_size=3)
    content = program_to_bytes(program)
    assert check(deployed, program_runner(content), frames).difference < 1e-6
    content = to_onnx(program, optimize=False).SerializeToString()
    assert check(deployed, onnx_runner(content), frames).difference < 1e-5


def test_number_of_samples_may_vary():
    images = torch.randint(0, 256, (5, 1, 8, 8)).float()
    cfg = tiny_student(T=3)
    cfg['data_preprocessor'] = dict(mean=[127.5], std=[127.5])
    model = firing(cfg, images / 127.5 - 1)
    deployed = Deployed(model)
    program = to_program(deployed, (1, 8, 8))
    converted = to_onnx(program)
    named = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
             for value in (*converted.graph.input, *converted.graph.output)]
    assert named == [['batch', 1, 8, 8], ['batch', 10], [3, 'batch', 10]]
    content = converted.SerializeToString()
    for inputs in (images, images[:1]):
        want = deployed(inputs)
        for got in (program.module()(inputs), run(content, inputs)):
            torch.testing.assert_close(got[0], want[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(got[1], want[1], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope='module')
def exported():
    """A small student, frames, and its two files."""
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        torch.manual_seed(0)
        model, frames = small_network('SEWResNet')
        deployed = Deployed(model)
        program = to_program(deployed, frames.shape[1:], batch_size=3)
        return deployed, frames, program_to_bytes(program), to_onnx(program).SerializeToString()


def test_files_name_no_folder_of_this_machine(exported):
    here = str(REPOSITORY).encode()
    assert not any(here in content for content in exported[2:])


def test_program_runs_where_the_package_is_not_installed(exported, monkeypatch):
    deployed, frames, content, _ = exported
    for name in [name for name in sys.modules if name.split('.')[0] == 'bkdsnn']:
        monkeypatch.setitem(sys.modules, name, None)
    scores, logits = torch.export.load(io.BytesIO(content)).module()(frames)
    torch.testing.assert_close(logits, deployed.logits(frames))
    torch.testing.assert_close(scores, logits.mean(0).softmax(-1))


@pytest.mark.parametrize('strict', [False, True])
def test_onnx_shows_the_check_the_spikes_of_each_neuron(exported, strict):
    deployed, frames, _, content = exported
    if strict:
        frames = 4 * torch.rand(3, 1, 8, 8)
        deployed = Deployed(firing(tiny_student(T=2, neuron=dict(golden.IF, strict=True)), frames))
        content = to_onnx(to_program(deployed, (1, 8, 8), batch_size=3)).SerializeToString()
    spikes = onnx_runner(content).spikes(frames, {path: torch.zeros(2) for path in deployed.neurons})
    seen = {}
    handles = [deployed.model.get_submodule(path).register_forward_hook(
        lambda module, args, out, path=path: seen.update({path: out.bool()})) for path in deployed.neurons]
    deployed.logits(frames)
    for handle in handles:
        handle.remove()
    assert list(spikes) == list(seen)
    # Rounding may turn one that is next to the threshold.
    assert all((spikes[path] != seen[path]).float().mean() < 0.02 for path in seen)
    assert any(fired.any() for fired in spikes.values())


@pytest.mark.parametrize('package', ['onnx', 'onnxscript'])
def test_missing_package_is_named_with_its_command(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f'pip install {package}'):
        to_onnx(None)
