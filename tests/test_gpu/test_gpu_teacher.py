"""The teacher's precision, layout and compiler against the plain teacher."""
import pytest
import torch
from timm.models import VisionTransformer

from bkdsnn.models import FrozenTeacher
from bkdsnn.registry import MODELS
from helpers import small_distiller, tiny_cnn, tiny_student
from on_gpu import assert_near

# Of a feature's largest number. TF32 would be off by 1e-3; halves round to 2^-9 and 2^-12 in each of three layers.
FP32, BF16, FP16 = 1e-4, 2e-2, 3e-3
OPTIONS = {
    'channels_last': (dict(channels_last=True), FP32), 'bfloat16': (dict(dtype='bfloat16'), BF16),
    'float16': (dict(dtype='float16'), FP16), 'compile': (dict(compile=True), FP32),
    'all': (dict(dtype='bfloat16', channels_last=True, compile=True), BF16)}


def cnn():
    """Random weights and statistics."""
    torch.manual_seed(0)
    network = tiny_cnn()
    for _ in range(20):
        network(torch.randn(20, 1, 8, 8))
    return network.eval()


def teach(images, **options):
    """Features and logits by path, of a distiller's teacher; twice, as a compiled one runs compiled."""
    model = MODELS.build(dict(
        type='Distiller', student=tiny_student(), teacher=dict(type='FrozenTeacher', model=cnn(), **options),
        losses=dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=0.01),
                    loss_kd=dict(type='LogitsKDLoss', student='head', teacher='fc', tau=1.0)))).cuda()
    model.teach(images)
    return model.teach(images), model


@pytest.mark.parametrize('kind', OPTIONS)
def test_options_agree_with_the_plain_teacher(kind):
    options, tolerance = OPTIONS[kind]
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)).cuda()
    want, _ = teach(images)
    got, model = teach(images, **options)
    assert got.keys() == want.keys() == {'stage2', 'fc'}
    for path in want:
        assert got[path].is_cuda and got[path].dtype == torch.float32 and not got[path].requires_grad
        assert_near(got[path], want[path], tolerance, f'{kind}, {path}')
        assert want[path].std() > 0
    if kind == 'channels_last':
        assert model.teacher.network.stage2[0].weight.is_contiguous(memory_format=torch.channels_last)
    weight = next(model.teacher.network.parameters())
    assert weight.is_cuda and weight.dtype == getattr(torch, options.get('dtype', 'float32'))


def test_under_autocast_the_teacher_keeps_its_precision():
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)).cuda()
    teacher = FrozenTeacher(cnn(), dtype='float32').cuda()
    want = teacher(images)
    with torch.autocast('cuda', torch.bfloat16):
        got = teacher(images)
    assert got.dtype == torch.float32
    assert torch.equal(got, want), f'largest difference {(got - want).abs().max().item():.3g}'


@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear', 'nearest'])
def test_a_vit_of_another_size_prepares_images_as_on_a_cpu(interpolation):
    torch.manual_seed(0)
    network = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=10)
    teacher = FrozenTeacher(network, mean=[100.0] * 3, std=[50.0] * 3, to_rgb=True, input_size=32,
                            interpolation=interpolation)
    student = MODELS.build(dict(tiny_student(in_channels=3), data_preprocessor=dict(
        mean=[120.0] * 3, std=[60.0] * 3, to_rgb=False)))
    teacher.adapt_to(student.data_preprocessor)
    images = torch.randn(4, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    prepared, logits = teacher.prepare(images), teacher(images)
    assert teacher.flip_channels and prepared.shape[-1] == 32
    assert_near(teacher.prepare(images.cuda()), prepared, 1e-5, f'{interpolation}, prepared')
    assert_near(teacher(images.cuda()), logits, FP32, f'{interpolation}, logits')


def test_one_teacher_follows_two_students():
    """It is shared by copies of a model, as an averaged one, wherever they are."""
    model = small_distiller()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    want = model.teach(images)['fc']
    for device in ('cuda', 'cpu', 'cuda'):
        got = model.teach(images.to(device))['fc']
        assert got.device.type == device
        assert_near(got, want, FP32, device)
