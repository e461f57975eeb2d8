"""State dicts held to the networks that they are for, and classes to data sets."""
import json

import pytest
import torch
from torch import nn

import bkdsnn
from bkdsnn import SpikingInferencer, init_model
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.checkpoints.files import check_resumable, load_file, load_weights, save_file
from bkdsnn.checkpoints.weights import fit_weights, matched, weights_of
from bkdsnn.config.checks.on_disk import _check_weights
from bkdsnn.config.files import read_config_file
from bkdsnn.engine.hooks import teacher_check_hook
from bkdsnn.engine.hooks.teacher_check_hook import check_teachers_classes
from bkdsnn.models import FrozenTeacher
from helpers import DEMO, logged_by, run_tool, tiny_student

WEIGHTS = str(next((DEMO / 'weights').glob('plain-*.pth')))
DIGITS = tuple('0123456789')


def net(**buffers):
    """A layer with buffers."""
    layer = nn.Linear(2, 3)
    for name, value in buffers.items():
        layer.register_buffer(name, value)
    return layer


def test_a_path_from_home_is_found_wherever_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'run').mkdir()
    torch.save(net().state_dict(), tmp_path / 'run' / 'epoch_1.pth')
    for path in ('~/run', '~/run/epoch_1.pth'):
        load_weights(net(), path)
        _check_weights('model.teacher.checkpoint', path)
    with pytest.raises(FileNotFoundError, match="'.*/gone.pth' does not exist"):
        load_weights(net(), '~/gone.pth')


def test_names_of_wrappers_are_taken_off_in_files_and_networks():
    layer = nn.Sequential(net())
    inside = {f'module.0._orig_mod.{key}': value for key, value in layer[0].state_dict().items()}
    compiled = nn.Sequential(nn.ModuleDict(dict(_orig_mod=net())))
    for model in (nn.Sequential(net()), compiled):
        fit_weights(model, weights_of(dict(state_dict=inside)), 'x')
        for value, other in zip(model.state_dict().values(), layer.state_dict().values()):
            assert torch.equal(value, other)
    with pytest.raises(ValueError, match="there are two 'a', one of them as 'module.a'"):
        weights_of({'a': torch.zeros(1), 'module.a': torch.zeros(1)})


def test_floats_of_any_precision_are_taken_and_nothing_else_is_converted():
    model = net(count=torch.tensor(3), mask=torch.tensor([True]), small=torch.tensor([1], dtype=torch.int8))
    whole = model.state_dict()
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        values = matched(whole, {k: v.to(dtype) if v.is_floating_point() else v for k, v in whole.items()}, 'Net', 'x')
        assert all(values[key].dtype == value.dtype for key, value in whole.items())
    assert matched(whole, dict(whole, small=torch.tensor([5])), 'Net', 'x')['small'].dtype == torch.int8
    for change, words in ((dict(weight=whole['weight'].long()), r'weight \(int64 in the file, float32 in the model\)'),
                          (dict(count=torch.tensor(3.0)), r'count \(float32 in the file, int64 in the model\)'),
                          (dict(mask=torch.tensor([1])), r'mask \(int64 in the file, bool in the model\)'),
                          (dict(bias=whole['bias'] + 0j), r'bias \(complex64 in the file'),
                          (dict(small=torch.tensor([1000])), r'small \(numbers beyond int8\)'),
                          (dict(bias=whole['bias'].to_sparse()), r'bias \(a tensor of another layout\)'),
                          (dict(bias=[0.0, 0.0, 0.0]), r'bias \(a list in the file\)')):
        with pytest.raises(ValueError, match=f'x does not fit the Net: other kinds of values: {words}'):
            matched(whole, {**whole, **change}, 'Net', 'x')
    with pytest.raises(ValueError, match='x has weights that are not finite: bias'):  # beyond fp32
        matched(whole, dict(whole, bias=torch.full((3, ), 1e300, dtype=torch.float64)), 'Net', 'x')


@pytest.mark.parametrize('content', [{}, dict(state_dict={}), dict(meta={}), dict(state_dict='x')])
def test_a_checkpoint_without_weights_says_so_on_every_route(content, tmp_path):
    path = str(tmp_path / 'epoch_1.pth')
    torch.save(content, path)
    for route in (lambda: load_weights(net(), path), lambda: FrozenTeacher(tiny_student(), path),
                  lambda: init_model(str(DEMO / 'plain.py'), str(tmp_path)), lambda: check_resumable(path),
                  lambda: SpikingInferencer('demo/plain', path)):
        with pytest.raises(ValueError, match='holds no (weights|training state)'):
            route()


def test_weights_that_are_not_finite_are_neither_used_nor_written(tmp_path):
    content = load_file(WEIGHTS)
    content['state_dict']['head.fc.bias'][3] = torch.nan
    path = str(tmp_path / 'net.pth')
    torch.save(content, path)
    for route in (lambda: init_model(None, path), lambda: SpikingInferencer('demo/plain', path),
                  lambda: FrozenTeacher(str(DEMO / 'plain.py'), path)):
        with pytest.raises(ValueError, match=r'net.pth.* has weights that are not finite: head.fc.bias'):
            route()
    for suffix in ('.pth', '.safetensors'):
        with pytest.raises(ValueError, match='not finite, so .*out.* is not written: head.fc.bias'):
            save_file(content, str(tmp_path / f'out{suffix}'))
    model = bkdsnn.get_model('demo/plain', pretrained=True)
    model.head.fc.bias.data[0] = torch.inf
    for route in (lambda: SpikingInferencer(model), lambda: FrozenTeacher(model)):
        with pytest.raises(ValueError, match='has weights that are not finite: head.fc.bias'):
            route()
    done = run_tool('tools/test.py', DEMO / 'plain.py', path, '--work-dir', tmp_path)
    assert done.returncode == 1 and 'not finite: head.fc.bias' in done.stderr and 'Traceback' not in done.stderr


def test_bits_that_have_changed_are_found_in_both_formats(tmp_path):
    for suffix in ('.pth', '.safetensors'):
        path = tmp_path / f'net{suffix}'
        save_file(load_file(WEIGHTS), str(path))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf'net\{suffix}.*cannot be read: .*by its check sum'):
            load_file(str(path))


def test_safetensors_of_before_have_no_check_sum_and_load(tmp_path):
    from safetensors.torch import save_file as save
    content = load_file(WEIGHTS)
    path = str(tmp_path / 'net.safetensors')
    save(content['state_dict'], path, dict(bkdsnn=json.dumps(content['meta'])))
    assert init_model(None, path).dataset_meta == dict(classes=DIGITS)


# ---- classes ----

def reordered(order):
    cfg = read_config_file(DEMO / 'plain.py')
    cfg.test_dataloader.dataset.metainfo = dict(classes=order)
    return cfg


@pytest.mark.parametrize('order, words', [
    (DIGITS[::-1], "the same classes in another order: class 0 is '0' there and '9' here"),
    (('zero', *DIGITS[1:]), "other classes: class 0 is '0' there and 'zero' here"), (DIGITS[:9], '10 and 9 classes')])
def test_answers_are_not_counted_for_other_classes(order, words):
    with pytest.raises(ValueError, match=f'the checkpoint and test_dataloader.dataset have {words}.*metainfo.classes'):
        evaluate(init_model(reordered(order), WEIGHTS))
    with pytest.raises(ValueError, match="no sound dataset_meta: classes='x'"):
        model = init_model(reordered(DIGITS), WEIGHTS)
        model.dataset_meta = dict(classes='x')
        evaluate(model)


def test_the_tool_does_not_test_on_classes_in_another_order(tmp_path):
    cfg = reordered(DIGITS[::-1])
    cfg.dump(str(tmp_path / 'plain.py'))
    done = run_tool('tools/test.py', tmp_path / 'plain.py', WEIGHTS, '--work-dir', tmp_path)
    assert done.returncode == 1 and 'test_dataloader.dataset have the same classes in another order' in done.stderr


def test_a_checkpoint_with_more_names_than_answers_is_an_error(tmp_path):
    content = load_file(WEIGHTS)
    content['meta']['dataset_meta']['classes'] += ('ten', )
    torch.save(content, tmp_path / 'net.pth')
    with pytest.raises(ValueError, match='names 11 classes .* but its network has 10'):
        init_model(None, str(tmp_path / 'net.pth'))


def test_a_teachers_classes_are_those_of_the_data(monkeypatch):
    said = logged_by(monkeypatch, teacher_check_hook)
    teacher = FrozenTeacher(str(DEMO / 'plain.py'), WEIGHTS)
    for metainfo in (None, {}, dict(classes=DIGITS)):
        check_teachers_classes(teacher, metainfo)
    assert not said
    check_teachers_classes(teacher, dict(classes=('a', *DIGITS[1:])))
    assert said == ["The teacher and train_dataloader.dataset have other classes: class 0 is '0' there and 'a' here."]
    with pytest.raises(ValueError, match='model.teacher.checkpoint=.*the same classes in another order'):
        check_teachers_classes(teacher, dict(classes=DIGITS[::-1]))
