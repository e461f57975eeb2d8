"""Where teachers come from, that none is random by accident, and what they compute in."""
import copy

import pytest
import safetensors.torch
import timm
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn.models import FrozenTeacher
from bkdsnn.models.distillers import FeatureRecorder
from bkdsnn.registry import MODELS
from helpers import DEMO, small_network, tiny_cnn, tiny_student


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
                                   dict(mean=[1., 2., 3.], std=[1., 2.]), dict(dtype='int8'),
                                   dict(channels_last='yes'), dict(compile='inductor')])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}='):
        FrozenTeacher(tiny_cnn(3), **wrong)


def test_unknown_teacher_says_what_is_possible():
    with pytest.raises(ValueError, match='neither a config file'):
        FrozenTeacher('resnet1800', 'x.pth')


# ---- what a source says of its input ----

@pytest.mark.parametrize('tag, want', [('.IMAGENET1K_V1', 'IMAGENET1K_V1'), ('.IMAGENET1K_V2', 'IMAGENET1K_V2'),
                                       ('', 'IMAGENET1K_V2')])
def test_torchvisions_weights_are_chosen_by_tag(tag, want, monkeypatch):
    """The paper's ResNet-50 is version 1, while torchvision's default is version 2."""
    chosen = {}
    monkeypatch.setattr('torchvision.models.get_model',
                        lambda name, weights: chosen.update(name=name, weights=weights) or tiny_cnn(3))
    teacher = FrozenTeacher(f'torchvision/resnet50{tag}', 'pretrained')
    assert chosen['name'] == 'resnet50' and chosen['weights'].name == want
    assert teacher.input_size == (224, 224) and teacher.interpolation == 'bilinear'


def test_unknown_tag_of_torchvision_lists_those_there_are():
    with pytest.raises(ValueError, match='IMAGENET1K_V3.*weights of resnet50 are IMAGENET1K_V1, IMAGENET1K_V2'):
        FrozenTeacher('torchvision/resnet50.IMAGENET1K_V3', 'x.pth')


def saved(network, path):
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.mark.parametrize('name, interpolation', [('resnet18_8xb32_in1k', 'bilinear'),
                                                 ('deit-tiny_4xb256_in1k', 'bicubic')])
def test_mmpretrains_models_resize_as_they_were_tested(name, interpolation, tmp_path):
    import mmpretrain
    teacher = FrozenTeacher(name, saved(mmpretrain.get_model(name), tmp_path / 'net.pth'))
    assert teacher.input_size == (224, 224) and teacher.interpolation == interpolation


def test_mmpretrains_cifar_models_want_rgb_as_they_were_given(tmp_path):
    """Its CIFAR gives RGB and says to_rgb=False; ours gives BGR and says to_rgb=True, like data read from files."""
    import mmpretrain
    name = 'resnet18_8xb16_cifar10'
    teacher = FrozenTeacher(name, saved(mmpretrain.get_model(name), tmp_path / 'net.pth'))
    student = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[0.] * 3, std=[1.] * 3, to_rgb=True))
    teacher.adapt_to(student)
    bgr = torch.tensor([10., 20., 30.]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    seen = teacher.prepare(student(dict(inputs=bgr))['inputs'])[0, :, 0, 0]
    want = (torch.tensor([30., 20., 10.]) - torch.tensor(teacher.own_mean)) / torch.tensor(teacher.own_std)
    torch.testing.assert_close(seen, want)


@pytest.mark.parametrize('pipeline, size, interpolation', [
    ([], None, 'bicubic'),
    ([dict(type='mmpretrain.Resize', scale=224, interpolation='bicubic')], (224, 224), 'bicubic'),
    ([dict(type='Resize', scale=(48, 32))], (32, 48), 'bilinear'),
    ([dict(type='mmpretrain.ResizeEdge', scale=256, interpolation='lanczos'),
      dict(type='mmpretrain.CenterCrop', crop_size=224)], (224, 224), 'bicubic'),
    ([dict(type='mmpretrain.ResizeEdge', scale=16, interpolation='nearest'),
      dict(type='mmpretrain.CenterCrop', crop_size=(12, 10))], (10, 12), 'nearest'),
    ([dict(type='mmpretrain.EfficientNetCenterCrop', crop_size=240)], (240, 240), 'bicubic')])
def test_config_says_how_its_network_was_tested(small_teacher, tmp_path, pipeline, size, interpolation):
    cfg = Config.fromfile(small_teacher / 'small.py')
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = pipeline + dataset.pipeline
    cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=1, dataset=dataset)
    cfg.dump(str(tmp_path / 'teacher.py'))
    teacher = FrozenTeacher(str(tmp_path / 'teacher.py'), str(small_teacher))
    assert teacher.input_size == size and teacher.interpolation == interpolation


def test_teacher_of_small_images_sees_them_as_they_are(small_teacher):
    teacher = FrozenTeacher(str(small_teacher / 'small.py'), str(small_teacher))
    images = torch.randn(2, 1, 8, 8)
    assert teacher.input_size is None and teacher.prepare(images) is images


# ---- timm's own files ----

def save_as_timm(network, path):
    save = safetensors.torch.save_file if path.suffix == '.safetensors' else torch.save
    save(network.state_dict(), path)
    return str(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_timms_files_load(suffix, tmp_path):
    network = timm.create_model('vit_tiny_patch16_224')
    torch.nn.init.normal_(network.head.bias)
    path = save_as_timm(network, tmp_path / f'vit{suffix}')
    teacher = FrozenTeacher('timm/vit_tiny_patch16_224', path)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(teacher.network.state_dict()[key], value, msg=key)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_timms_files_that_do_not_fit_are_named(suffix, tmp_path):
    network = timm.create_model('vit_tiny_patch16_224', num_classes=7)
    path = save_as_timm(network, tmp_path / f'vit{suffix}')
    with pytest.raises(ValueError, match=r'head\.bias'):
        FrozenTeacher('timm/vit_tiny_patch16_224', path)
    (tmp_path / f'vit{suffix}').write_bytes(b'no weights')
    with pytest.raises(ValueError, match=rf'vit\{suffix}.*cannot be read'):
        FrozenTeacher('timm/vit_tiny_patch16_224', path)
    with pytest.raises(FileNotFoundError, match=rf'other\{suffix}.*does not exist'):
        FrozenTeacher('timm/vit_tiny_patch16_224', str(tmp_path / f'other{suffix}'))


def test_papers_vision_transformer_is_normalised_as_its_tag_says(tmp_path):
    """ViT-S and ViT-B of these tags were trained with mean and deviation 0.5, not with ImageNet's."""
    name = 'vit_small_patch16_224.augreg_in21k_ft_in1k'
    teacher = FrozenTeacher(f'timm/{name}', save_as_timm(timm.create_model(name), tmp_path / 'vit.safetensors'))
    assert list(teacher.own_mean) == [127.5] * 3 == list(teacher.own_std) and teacher.own_rgb
    assert teacher.input_size == (224, 224) and teacher.interpolation == 'bicubic'
    base = timm.get_pretrained_cfg('vit_base_patch16_224.orig_in21k_ft_in1k')
    assert base.mean == base.std == (0.5, 0.5, 0.5) and base.interpolation == 'bicubic'


# ---- a teacher's own precision, layout and compiler ----

BF16 = dict(dtype='bfloat16', emulate=True)  # on any CPU
OPTIONS = [dict(dtype='float32'), BF16, dict(dtype='float16'), dict(channels_last=True),
           dict(compile=dict(backend='aot_eager')), dict(BF16, channels_last=True, compile=dict(backend='aot_eager'))]


def distiller_with(teacher, paths=('stage2', 'fc'), **options):
    teacher = FrozenTeacher(teacher, **options)
    return MODELS.build(dict(
        type='Distiller', student=tiny_student(), teacher=teacher,
        losses=dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher=paths[0], loss_weight=0.01),
                    loss_wsld=dict(type='WSLDLoss', student='head', teacher=paths[1], tau=2.0))))


def losses_and_gradients(model, images, labels):
    torch.manual_seed(0)
    samples = [DataSample().set_gt_label(label) for label in labels]
    losses = model(images, samples, 'loss')
    sum(losses.values()).backward()
    return {name: loss.detach() for name, loss in losses.items()}, [
        p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize('options', OPTIONS)
def test_teacher_options_give_the_same_losses_and_gradients(options):
    """Also in float32 and bfloat16: losses get fp32, whatever the teacher computes in."""
    network, (images, labels) = tiny_cnn(), (torch.randn(6, 1, 8, 8), range(6))
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    results = []
    for own in ({}, options):
        torch.manual_seed(1)
        model = distiller_with(copy.deepcopy(network), **own)
        seen = []
        model.losses['loss_bkd'].register_forward_pre_hook(lambda _, args: seen.append(args[1]))  # noqa: B023
        results.append(losses_and_gradients(model, images, labels))
        assert seen[-1].dtype == torch.float32 and not seen[-1].requires_grad
    tolerance = dict(rtol=2e-2, atol=2e-3) if '16' in options.get('dtype', '') else dict(rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(*results, **tolerance)
    if options.get('dtype'):
        assert {p.dtype for p in model.teacher.network.parameters()} == {getattr(torch, options['dtype'])}
        assert sum(p.nbytes for p in model.teacher.network.parameters()) == (
            sum(p.nbytes for p in network.parameters()) // (1 if options['dtype'] == 'float32' else 2))


def test_channels_last_and_compiled_teachers_are_exact_in_fp64():
    network, x = tiny_cnn().double(), torch.randn(4, 1, 8, 8).double()
    want = FrozenTeacher(network)(x)
    for options in (dict(channels_last=True), dict(compile=dict(backend='aot_eager'))):
        teacher = FrozenTeacher(copy.deepcopy(network), **options)
        layouts = []
        teacher.network.stage1[0].register_forward_pre_hook(
            lambda _, args: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last)))  # noqa: B023
        torch.testing.assert_close(teacher(x), want, rtol=1e-12, atol=1e-12)
        assert layouts == [True]  # one channel lies in either order
    assert network.stage2[0].weight.is_contiguous() and teacher.compiles


def test_spiking_teacher_takes_all_options():
    network, frames = small_network('SEWResNet')
    want = FrozenTeacher(network)(frames)
    compiled = FrozenTeacher(copy.deepcopy(network), channels_last=True, compile=dict(backend='eager'))
    torch.testing.assert_close(compiled(frames), want, rtol=1e-4, atol=1e-4)
    half = FrozenTeacher(copy.deepcopy(network), dtype='bfloat16', emulate=True, channels_last=True)
    assert half(frames).dtype == torch.float32 and half.network.channels_last
    assert (half(frames) - want).norm() < 0.2 * want.norm()


def test_compiled_teacher_is_recorded_and_compiled_once_with_and_once_without_hooks():
    """The check of its accuracy calls it without a recorder; batches of other sizes come at an epoch's end."""
    torch._dynamo.reset()
    from torch._dynamo.utils import counters
    counters.clear()
    network = tiny_cnn()
    model = distiller_with(network, compile=dict(backend='eager', dynamic=True))
    assert not counters['stats'], 'compiled for the single sample of the dry run'
    plain = FrozenTeacher(copy.deepcopy(network))
    images = torch.randn(6, 1, 8, 8)
    model.teacher(images)
    for batch in (images, images[:4], images + 1, images):
        losses_and_gradients(model, batch, range(len(batch)))
        with FeatureRecorder(plain.network, ['stage2']) as want:
            plain(batch)
        torch.testing.assert_close(model.teach(batch)['stage2'], want.features['stage2'])
        assert torch.equal(model.teacher(batch), plain(batch))
    assert counters['stats']['unique_graphs'] == 2
    assert not counters['graph_break']


def test_compiled_teacher_runs_with_the_default_compiler():
    network, x = tiny_cnn(), torch.randn(4, 1, 8, 8)
    want = FrozenTeacher(copy.deepcopy(network))(x)
    torch.testing.assert_close(FrozenTeacher(network, compile=True)(x), want, rtol=1e-5, atol=1e-6)


def test_compiling_without_a_compiler_is_refused_when_built(monkeypatch):
    monkeypatch.setattr('bkdsnn.models.teachers.frozen_teacher.why_not', lambda device: 'there is no C++ compiler')
    with pytest.raises(ValueError, match='compile=True cannot be used: there is no C[+][+] compiler'):
        FrozenTeacher(tiny_cnn(), compile=True)


@pytest.mark.parametrize('dtype, mixed', [(None, torch.bfloat16), ('float32', torch.float32),
                                          ('float16', torch.float16)])
def test_own_precision_holds_where_the_student_trains_in_mixed_precision(dtype, mixed):
    teacher, seen = FrozenTeacher(tiny_cnn(), dtype=dtype), []
    teacher.network.stage1[0].register_forward_hook(lambda _, args, out: seen.append(out.dtype))
    with torch.autocast('cpu', torch.bfloat16):
        teacher(torch.randn(2, 1, 8, 8))
    assert seen == [mixed]
