"""A model in fp64 computes in fp64 throughout, losses and teacher included; in mixed precision losses are fp32."""
import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bkdsnn.engine.hooks import LossGuardHook
from bkdsnn.models import Distiller, FrozenTeacher
from bkdsnn.models.layers import full_precision
from bkdsnn.models.losses import at_loss, dist_loss, dkd_loss, feature_distance, hcl_loss, kd_loss, rkd_loss
from bkdsnn.models.losses.wsld_loss import wsld_loss
from bkdsnn.registry import MODELS
from helpers import LIF, tiny_cnn, tiny_student

LOSSES = dict(
    loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=1e-2, rescale=True),
    loss_vector=dict(type='BKDLoss', student='backbone.layer2', teacher='fc:input', loss_weight=1e-2),
    loss_wsld=dict(type='WSLDLoss', student='head', teacher='fc', tau=3.0),
    loss_kd=dict(type='LogitsKDLoss', student='head', teacher='fc', tau=3.0))


class RoundedValues(TorchDispatchMode):
    """Collects operations whose results are real numbers in less than fp64."""

    # The masks are drawn in fp32, whatever they are compared with.
    DRAWN = ('rand', 'slice')

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.dtype != torch.float64 and (
                    name not in self.DRAWN):
                self.found.add(name)
        return out


@pytest.mark.parametrize('neuron', [LIF, dict(LIF, type='ParametricLIFNode')], ids=lambda neuron: neuron['type'])
@pytest.mark.parametrize('soft', [False, True])
def test_nothing_is_rounded_in_a_training_step(neuron, soft):
    torch.manual_seed(0)
    model = Distiller(tiny_student(neuron=neuron), FrozenTeacher(tiny_cnn(), mean=[3.0], std=[7.0], input_size=(8, 8)),
                      LOSSES, input_shape=(1, 8, 8)).double()
    samples = [DataSample().set_gt_label(i) for i in range(6)]
    if soft:
        for sample, score in zip(samples, torch.rand(6, 10, dtype=torch.float64).softmax(-1)):
            sample.set_gt_score(score)
    with RoundedValues() as rounded:
        losses = model(torch.randn(6, 1, 8, 8, dtype=torch.float64), samples, mode='loss')
        model.parse_losses(losses)[0].backward()
    assert not rounded.found
    assert {loss.dtype for loss in losses.values()} == {torch.float64} and len(losses) == 5
    assert all(parameter.grad.dtype == torch.float64 for parameter in model.parameters())


def test_rounding_is_seen():
    with RoundedValues() as rounded:
        torch.randn(3, dtype=torch.float64).float().exp()
    assert rounded.found == {'_to_copy', 'exp'}


def test_the_teachers_affine_step_is_exact():
    teacher = FrozenTeacher(tiny_cnn(3), mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    teacher.adapt_to(MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[0.1] * 3, std=[0.3] * 3)))
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    pixels = images * np.float32(0.3).item() + np.float32(0.1).item()  # buffers of mmpretrain's are fp32
    mean, std = (torch.tensor(getattr(teacher, f'own_{name}'), dtype=torch.float64).view(-1, 1, 1)
                 for name in ('mean', 'std'))
    want = (pixels - mean) / std
    for prepared in (teacher.prepare(images), teacher.double().prepare(images)):
        assert prepared.dtype == torch.float64
        torch.testing.assert_close(prepared, want, rtol=1e-14, atol=1e-14)
    assert teacher.prepare(images.float()).dtype == torch.float32


def test_pure_losses_keep_the_wider_precision_and_widen_halves():
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(5, 7), torch.randn(5, 7), torch.arange(5)
    scores = torch.rand(5, 7).softmax(-1)
    losses = [lambda s, t: kd_loss(s, t, 2.0), lambda s, t: wsld_loss(s, t, labels, 2.0),
              lambda s, t: wsld_loss(s, t, scores, 2.0), lambda s, t: feature_distance(s, t, 'sum'),
              lambda s, t: dkd_loss(s, t, labels, 1.0, 8.0, 2.0), lambda s, t: dist_loss(s, t, 1.0, 1.0, 2.0),
              lambda s, t: rkd_loss(s, t, 25.0, 50.0),
              lambda s, t: at_loss(s[..., None, None], t[..., None, None], 2) + hcl_loss(s[None, None], t[None, None])]
    for loss in losses:
        exact = loss(student.double(), teacher.double())
        assert exact.dtype == torch.float64
        for dtypes, want in (((torch.float32, torch.float32), torch.float32),
                             ((torch.bfloat16, torch.float16), torch.float32),
                             ((torch.float64, torch.float32), torch.float64),
                             ((torch.float32, torch.float64), torch.float64)):
            got = loss(*(x.to(dtype) for x, dtype in zip((student, teacher), dtypes)))
            assert got.dtype == want
            tolerance = 5e-2 if torch.bfloat16 in dtypes else 1e-5
            torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=0)


def test_losses_are_fp32_under_autocast():
    torch.manual_seed(0)
    model = Distiller(tiny_student(), FrozenTeacher(tiny_cnn()), LOSSES, input_shape=(1, 8, 8))
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(torch.randn(6, 1, 8, 8), [DataSample().set_gt_label(i) for i in range(6)], mode='loss')
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_a_loss_beyond_fp32_is_finite_for_the_guard():
    outputs = dict(loss=torch.tensor(1e300, dtype=torch.float64), loss_kd=torch.tensor(1.0))
    LossGuardHook().after_train_iter(None, 0, outputs=outputs)
    assert outputs == dict(loss=1e300, loss_kd=1.0)


def test_full_precision():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = nn.Parameter(torch.ones(2, dtype=dtype))
        assert full_precision(x).dtype == max(dtype, torch.float32, key=lambda dtype: dtype.itemsize)
        assert (full_precision(x) is x) == (dtype.itemsize >= 4)
