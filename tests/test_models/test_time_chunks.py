"""Training on a few time steps after the other: the losses and gradients of all steps at once."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn.evaluation import MemoryPlanner
from bkdsnn.models import Distiller, FrozenTeacher, TimeChunks
from bkdsnn.models.layers import checkpoint_blocks_in, compress
from bkdsnn.models.layers.compress import compress_spikes_in
from bkdsnn.models.neurons import kernels
from bkdsnn.models.neurons.base import going_on
from bkdsnn.registry import MODELS
from helpers import ILIF, ILIF_BACKBONES, LIF, SMALL_BACKBONES, tiny_cnn, tiny_student

T = 4


def backbone_of(name, T=T, **changes):
    """One of every backbone, whose neurons fire, in training with fixed statistics; in float64."""
    cfg = {**{**SMALL_BACKBONES, **ILIF_BACKBONES}[name], **changes}
    if 'T' in cfg:
        cfg['T'] = T
    network = MODELS.build(dict(cfg, type=name, in_channels=2)).double()
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(T, 3, 2, 16, 16, dtype=torch.double) * 4)
    return with_fixed_statistics(network)


def with_fixed_statistics(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def step(run, network, x):
    """The outputs, and the gradients of the input and of all parameters."""
    x = x.clone().requires_grad_()
    outputs = run(x)
    generator = torch.Generator().manual_seed(2)
    sum((y * torch.randn(y.shape, dtype=y.dtype, generator=generator)).sum() for y in outputs).backward()
    return [*(y.detach() for y in outputs), x.grad, *(parameter.grad for parameter in network.parameters())]


def assert_close(got, want):
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('steps', [1, 2])
@pytest.mark.parametrize('name', [*SMALL_BACKBONES, *ILIF_BACKBONES])
def test_frames_in_chunks_give_the_step_of_all(name, steps):
    network = backbone_of(name)
    x = torch.rand(T, 3, 2, 16, 16, dtype=torch.double) * 4
    again = copy.deepcopy(network)
    want = step(network, network, x)
    assert want[0].std() > 0
    assert_close(step(TimeChunks(again, steps), again, x), want)


@pytest.mark.parametrize('name', ['Spikformer', 'MetaSpikeFormer'])
def test_samples_skip_branches_in_all_chunks(name):
    arch = dict(arch=dict(depth=3, channels=32, num_heads=4, patch_size=4)) if name == 'Spikformer' else {}
    network = backbone_of(name, drop_path=0.6, **arch)
    x = torch.rand(T, 3, 2, 16, 16, dtype=torch.double) * 4
    again, results = copy.deepcopy(network), []
    for run, one in ((network, network), (TimeChunks(again, 1), again)):
        torch.manual_seed(4)
        results.append([*step(run, one, x), torch.rand(1)])
    assert_close(*results)


@pytest.mark.parametrize('name', [name for name in (*SMALL_BACKBONES, *ILIF_BACKBONES) if name != 'SEWDVSNet'])
def test_an_image_shown_in_chunks_gives_the_step_of_all(name):
    network = backbone_of(name)
    x = torch.rand(3, 2, 16, 16, dtype=torch.double) * 4
    again = copy.deepcopy(network)
    assert_close(step(TimeChunks(again, 2), again, x), step(network, network, x))
    assert again.T == T


@pytest.mark.parametrize('neuron', [ILIF, dict(type='SlidingPSNNode', k=3, surrogate=dict(type='ATan', alpha=2.0)),
                                    dict(type='CLIFNode', tau=2.0, v_threshold=0.5,
                                         surrogate=dict(type='Rectangular', alpha=1.0))], ids=lambda cfg: cfg['type'])
def test_neurons_hand_on_all_of_their_state(neuron):
    network = backbone_of('SEWResNet', T=6, neuron=neuron)
    x = torch.rand(6, 3, 2, 16, 16, dtype=torch.double) * 4
    again = copy.deepcopy(network)
    assert_close(step(TimeChunks(again, 2), again, x), step(network, network, x))


def test_nothing_inside_a_chunk_is_kept_as_bytes(monkeypatch):
    network, packed, to_bytes = backbone_of('SEWResNet'), [], compress._to_bytes
    compress_spikes_in(network)
    monkeypatch.setattr(compress, '_to_bytes', lambda x: packed.append(x) or to_bytes(x))
    x = torch.rand(T, 3, 2, 16, 16, dtype=torch.double) * 4
    TimeChunks(network, 2)(x)[-1].sum().backward()
    assert not packed
    network(x)
    assert packed


@pytest.mark.parametrize('compress', [False, True])
def test_blocks_may_be_checkpointed_and_spikes_compressed_beside(compress):
    network = backbone_of('SEWResNet')
    x = torch.rand(T, 3, 2, 16, 16, dtype=torch.double) * 4
    again = copy.deepcopy(network)
    checkpoint_blocks_in(again)
    for one in (network, again) if compress else ():
        compress_spikes_in(one)
    assert_close(step(TimeChunks(again, 2), again, x), step(network, network, x))


# At 48 pixels, attention has maps of several places, whose border is what a norm makes of zeros.
@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('name, size', [('SEWResNet', 16), ('MetaSpikeFormer', 48)])
def test_batch_norms_take_the_statistics_of_a_chunk_and_learn_once_from_it(name, size, with_cp):
    network = backbone_of(name).train()
    x = torch.rand(T, 3, 2, size, size, dtype=torch.double) * torch.arange(1, T + 1).view(T, 1, 1, 1, 1)
    again, states = copy.deepcopy(network), {}
    nodes = TimeChunks(network, 2).nodes

    def in_one_graph(x):
        with going_on(nodes, states):
            return [torch.cat(parts) for parts in zip(*[network(part) for part in x.split(2)])]

    if with_cp:
        checkpoint_blocks_in(again)
    assert_close(step(TimeChunks(again, 2), again, x), step(in_one_graph, network, x))
    for (name, got), want in zip(again.named_buffers(), network.buffers()):
        torch.testing.assert_close(got, want, msg=name)


def test_time_steps_take_memory_once_at_a_time():
    """Predicted at the peak; frames and features grow with T, and inner maps do not."""
    def activations(T, **student):
        cfg = Config(dict(model=dict(tiny_student(T=T, widths=(16, 16)), **student), image_shape=(1, 8, 8),
                          optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))
        return MemoryPlanner(cfg).plan(64).peak

    assert activations(8, time_chunk=1) < 0.4 * activations(8)
    assert activations(8, time_chunk=1) < 0.7 * activations(8, time_chunk=4) < 0.7 * activations(8)


def test_distilling_in_chunks_is_distilling():
    """Features inside the student are those of all time steps."""
    losses = dict(loss_bkd=dict(type='BKDLoss', student='backbone.layer2', teacher='stage2', loss_weight=1e-2),
                  loss_in=dict(type='BKDLoss', student='backbone.layer1.0.unit2', teacher='stage1', loss_weight=1.0),
                  loss_tet=dict(type='TETLoss', lamb=0.1))
    images, samples = torch.randn(6, 1, 8, 8).double(), [DataSample().set_gt_label(i) for i in range(6)]
    results, weights = [], None
    for chunk in (None, 2):
        torch.manual_seed(0)  # for the teacher
        model = Distiller(dict(tiny_student(T=4), time_chunk=chunk), FrozenTeacher(tiny_cnn()), losses,
                          input_shape=(1, 8, 8)).double()
        for _ in range(0 if chunk else 5):
            model.student(images)
        weights = model.state_dict() if chunk is None else weights
        model.load_state_dict(weights)
        with_fixed_statistics(model.student.train())
        torch.manual_seed(1)
        found = model(images, samples, mode='loss')
        sum(found.values()).backward()
        results.append([*found.values(), *(parameter.grad for parameter in model.parameters())])
        assert torch.equal(model.student.eval()(images), model.student(images))
    assert_close(*results)


@pytest.mark.parametrize('cfg', [dict(LIF, type='ParametricLIFNode'), ILIF], ids=lambda cfg: cfg['type'])
def test_kernels_go_on_from_a_state(cfg, monkeypatch):
    """Their graphs, which are compiled elsewhere; chunks of five steps are two pieces each."""
    monkeypatch.setattr(kernels.Kernel, '__call__', lambda kernel, *tensors: kernel.graph(*tensors))
    eager = MODELS.build(dict(cfg, backend='eager')).double()
    node = MODELS.build(dict(cfg, backend='compile')).double()
    node.load_state_dict(eager.state_dict())
    x = torch.randn(10, 3, 4, 5, dtype=torch.double) * 2

    def in_chunks(x):
        with going_on([node], {}):
            return [torch.cat([node(part) for part in x.split(5)])]

    assert_close(step(in_chunks, node, x), step(lambda x: [eager(x)], eager, x))


@pytest.mark.parametrize('student, message', [
    (dict(tiny_student(T=4), time_chunk=3), r'time_chunk=3 does not divide T=4; choose one of \[1, 2, 4\]'),
    (dict(tiny_student(), time_chunk=0), 'time_chunk=0 must be a number of time steps, 1 or more'),
    (dict(tiny_student(), time_chunk=1, random_T=(1, 2)), r'random_T=\(1, 2\), but time_chunk=1')])
def test_chunks_that_cannot_be(student, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(student)


def test_networks_that_cannot_be_cut():
    psn = dict(type='PSNNode', T=2, surrogate=dict(type='ATan', alpha=2.0))
    with pytest.raises(TypeError, match=r'\(PSNNode\) does not run step by step: .* or set time_chunk=None'):
        MODELS.build(dict(tiny_student(neuron=psn), time_chunk=1))
    leaking = MODELS.build(dict(SMALL_BACKBONES['QKFormer'], type='QKFormer', in_channels=2, batch_leak=True))
    with pytest.raises(ValueError, match=r'with batch_leak=True \(.*\) samples are time steps'):
        TimeChunks(leaking, 1)
    events = MODELS.build(dict(tiny_student(in_channels=2), time_chunk=2)).train()
    with pytest.raises(ValueError, match='time_chunk=2 does not divide T=5'):
        events(torch.randn(2, 5, 2, 8, 8))
