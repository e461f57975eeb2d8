"""Where teachers come from, and that none is random by accident."""
import pytest
import torch
from torch import nn

from bkdsnn.models import FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import DEMO, tiny_cnn


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / 'cnn.pth'
    torch.save(dict(state_dict=tiny_cnn().state_dict()), path)
    return path


def test_import_path_with_a_checkpoint(weights):
    teacher = FrozenTeacher('helpers:tiny_cnn', str(weights))
    want = torch.load(weights)['state_dict']
    assert all(torch.equal(v, want[k]) for k, v in teacher.network.state_dict().items())


@pytest.mark.parametrize('model', ['helpers:tiny_cnn', 'timm/resnet18', 'torchvision/resnet18',
                                   str(DEMO / 'teacher.py')])
def test_no_weights_is_an_error_not_a_random_teacher(model):
    """Mistake 5: a teacher without weights, silently."""
    with pytest.raises(ValueError, match='would be random'):
        FrozenTeacher(model)


def test_missing_teacher_checkpoint_names_the_command_that_trains_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.*first: python tools/train\.py .*teacher\.py'):
        FrozenTeacher(str(DEMO / 'teacher.py'), str(tmp_path / 'nowhere'))


def test_checkpoint_of_another_architecture_names_the_keys(weights):
    with pytest.raises(ValueError, match=r'missing keys: backbone\.bn1\.bias.*unexpected keys: fc\.bias'):
        FrozenTeacher(str(DEMO / 'teacher.py'), str(weights))


def test_checkpoint_with_other_shapes_names_both(weights, tmp_path):
    torch.save(dict(state_dict=tiny_cnn(num_classes=7).state_dict()), tmp_path / 'seven.pth')
    with pytest.raises(ValueError, match=r'fc\.bias \(\(7,\) in the file, \(10,\) in the model\)'):
        FrozenTeacher('helpers:tiny_cnn', str(tmp_path / 'seven.pth'))


def test_truncated_checkpoint_is_named(weights):
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match=r'cnn\.pth.*cannot be read'):
        FrozenTeacher('helpers:tiny_cnn', str(weights))


def test_checkpoint_that_would_run_code_is_refused(tmp_path):

    class Evil:

        def __reduce__(self):
            return (open, (str(tmp_path / 'harmed'), 'w'))

    torch.save(dict(state_dict=Evil()), tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='cannot be read'):
        FrozenTeacher('helpers:tiny_cnn', str(tmp_path / 'evil.pth'))
    assert not (tmp_path / 'harmed').exists()


@pytest.mark.parametrize('model, classifier', [('timm/resnet18', 'fc'), ('torchvision/resnet18', 'fc'),
                                               ('resnet18_8xb32_in1k', 'head.fc')])
def test_model_zoos_bring_their_own_preprocessing(model, classifier, tmp_path):
    if model.startswith('timm/'):
        import timm
        net = timm.create_model('resnet18')
    elif model.startswith('torchvision/'):
        import torchvision
        net = torchvision.models.resnet18()
    else:
        import mmpretrain
        net = mmpretrain.get_model(model)
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    teacher = FrozenTeacher(model, str(tmp_path / 'net.pth'))
    assert teacher.own_mean == pytest.approx([123.675, 116.28, 103.53], abs=0.01)
    assert teacher.own_std == pytest.approx([58.395, 57.12, 57.375], abs=0.01)
    assert teacher.own_rgb and teacher.input_size == (224, 224)
    assert isinstance(teacher.network.get_submodule(classifier), nn.Linear)
    assert teacher(torch.randn(1, 3, 32, 32)).shape == (1, 1000)


def test_adapting_again_forgets_the_first_student():
    teacher = FrozenTeacher(tiny_cnn(), mean=[10.0], std=[2.0])
    for mean, std, scaled in (([5.0], [1.0], True), ([10.0], [2.0], False)):
        teacher.adapt_to(MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=mean, std=std)))
        assert (teacher.scale is not None) == scaled


def test_channel_order_alone_keeps_the_students_constants():
    student = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.],
                                to_rgb=False))
    teacher = FrozenTeacher(tiny_cnn(3), to_rgb=True)
    teacher.adapt_to(student)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(teacher.prepare(x), x.flip(1))


@pytest.mark.parametrize('wrong', [dict(expected_accuracy=0.98), dict(interpolation='cubic'),
                                   dict(mean=[1., 2., 3.], std=[1., 2.])])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}='):
        FrozenTeacher(tiny_cnn(3), **wrong)


def test_unknown_teacher_says_what_is_possible():
    with pytest.raises(ValueError, match='neither a config file'):
        FrozenTeacher('resnet1800', 'x.pth')
