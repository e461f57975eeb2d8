"""Students as NIR graphs, rebuilt by nirtorch."""
import io
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import golden
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.export import Deployed, check, from_nir, nir_runner, nir_to_bytes, run_nir, to_nir
from bkdsnn.export.nir_fold import Conv, Norm, fold_norms
from bkdsnn.export.nir_graph import GraphBuilder, Signal
from bkdsnn.export.nir_max_pool import max_pool
from bkdsnn.models.neurons import IFNode
from bkdsnn.registry import MODELS
from helpers import LIF, firing, small_network, tiny_student

nir = pytest.importorskip('nir')
pytest.importorskip('nirtorch')
DOUBLE = dict(rtol=1e-9, atol=1e-9)


def written_and_read(graph):
    return nir.read(io.BytesIO(nir_to_bytes(graph)))


def rebuilt(model, inputs, **kwargs):
    """Logits of a network that went through a NIR file, in double precision."""
    shape = inputs.shape[1:]
    graph = written_and_read(to_nir(Deployed(model), shape, **kwargs))
    return run_nir(from_nir(graph, dtype=torch.float64), inputs.double(), int(graph.metadata['time_steps']))


@torch.no_grad()
def test_sew_resnet18_comes_back_from_a_file_with_the_recorded_logits():
    case, model = golden.load('sew_resnet18'), golden.sew_resnet18().eval()
    deployed = Deployed(model)
    content = nir_to_bytes(to_nir(deployed, (3, 64, 64)))
    runner = nir_runner(content, deployed)
    torch.testing.assert_close(runner.logits(case['in/x']).mean(0), case['out/eval/logits'], rtol=1e-5, atol=1e-5)
    result = check(deployed, runner, case['in/x'])
    assert result.difference < 1e-5 and result.flips == 0 and result.firing_rate > 0.1


@torch.no_grad()
def test_sew_dvs_net_comes_back_from_a_file_with_the_recorded_logits():
    """Its max-pools see sums of up to five spikes."""
    case = golden.load('sew_dvs')
    logits = rebuilt(golden.sew_dvs_net()[0].eval(), case['in/x'][:1])
    torch.testing.assert_close(logits.mean(0), case['out/eval/logits'][:1], rtol=1e-5, atol=1e-5)


NEURONS = dict(
    integrator=golden.IF,
    reset_elsewhere=dict(golden.IF, v_reset=-0.3),
    leaky=LIF,
    leaky_resting_elsewhere=dict(LIF, tau=3.0, v_reset=0.1),
    leaky_input_not_divided=dict(LIF, decay_input=False),
    forgetful=dict(LIF, tau=1.0),
    learned=dict(LIF, type='ParametricLIFNode', tau=1.7))


@pytest.mark.parametrize('dt', [1e-4, 1e-3, 1.0])
@pytest.mark.parametrize('neuron', NEURONS.values(), ids=NEURONS)
def test_every_neuron_comes_back_whatever_the_length_of_a_step(neuron, dt):
    frames = torch.rand(4, 5, 2, 8, 8) * 4
    model = firing(tiny_student(neuron=neuron, in_channels=2), frames)
    want = Deployed(model).double().logits(frames.double())
    assert want.std(0).mean() > 1e-3
    torch.testing.assert_close(rebuilt(model, frames, dt=dt), want, **DOUBLE)


def test_image_is_the_input_in_every_step():
    images = torch.randn(6, 1, 8, 8)
    model = firing(tiny_student(T=3), images)
    want = Deployed(model).double().logits(images.double())
    assert len(want) == 3 and not torch.equal(want[0], want[1])
    torch.testing.assert_close(rebuilt(model, images), want, **DOUBLE)


def test_graph_takes_pixels_where_the_student_normalises():
    cfg = tiny_student(in_channels=3)
    cfg['data_preprocessor'] = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 70.0])
    images = torch.randint(0, 256, (8, 3, 8, 8)).float()
    model = firing(cfg, (images - 110) / 60)
    want = model(model.data_preprocessor(dict(inputs=images))['inputs'])
    torch.testing.assert_close(rebuilt(model, images).float(), want, rtol=1e-5, atol=1e-5)


def test_nodes_are_named_after_modules_and_norms_are_folded():
    model, frames = small_network('SEWResNet')
    graph = to_nir(Deployed(model), frames.shape[1:], dt=2e-4)
    nodes = graph.nodes
    assert {'backbone.stem.conv', 'backbone.stem.neuron', 'backbone.stem.pool.pool1', 'backbone.stem.pool.any1',
            'backbone.layer2.0.downsample.conv', 'head.fc'} < set(nodes)
    assert not any('norm' in name for name in nodes)
    conv, norm = model.backbone.stem.conv, model.backbone.stem.norm
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    np.testing.assert_allclose(nodes['backbone.stem.conv'].weight, conv.weight.detach() * gain.view(-1, 1, 1, 1),
                               rtol=1e-5)
    np.testing.assert_allclose(nodes['backbone.stem.conv'].bias, (norm.bias - norm.running_mean * gain).detach(),
                               rtol=1e-5, atol=1e-6)
    # SEW's ADD is two edges that meet.
    assert {a for a, b in graph.edges if b == 'backbone.layer2.0.unit1.conv'} == {
        'backbone.layer1.0.unit2.neuron', 'backbone.stem.pool.any1'}
    neuron = nodes['backbone.stem.neuron']
    assert neuron.r.shape == (8, 16, 16) and neuron.r.min() == 1 / 2e-4
    assert graph.metadata['dt'] == 2e-4 and graph.metadata['time_steps'] == 2


def test_time_constants_are_in_seconds():
    model, frames = small_network('SEWDVSNet')
    node = to_nir(Deployed(model), frames.shape[1:], dt=1e-3).nodes['backbone.stage1.widen.neuron']
    assert type(node).__name__ == 'LIF'
    np.testing.assert_allclose(node.tau, 2e-3, rtol=1e-6)
    np.testing.assert_allclose(node.r, 1.0)


def test_neuron_at_its_threshold_fires():
    """NIR's fires above, ours at it: 0.3 and its neighbours in single precision."""
    graph = GraphBuilder(1e-4, (3, ))
    graph.path = 'neuron'
    node = IFNode(**{key: value for key, value in golden.IF.items() if key not in ('type', 'v_threshold')},
                  v_threshold=0.3)
    module = from_nir(graph.finish(graph.neuron(graph.input, node), dict(dt=1e-4)))
    at = np.float32(0.3)
    x = torch.tensor([[np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(1))]])
    assert module(x)[0].tolist() == [[0, 1, 1]] == node(x[None])[0].tolist()


POOLS = [dict(kernel_size=2, ceil_mode=True), dict(kernel_size=3, stride=2, padding=1), dict(kernel_size=2),
         dict(kernel_size=3, stride=2, ceil_mode=True), dict(kernel_size=3, stride=1, padding=1)]


@pytest.mark.parametrize('is_leaky', [False, True])
@pytest.mark.parametrize('size', [(8, 8), (7, 7), (7, 8), (1, 5)])
@pytest.mark.parametrize('pool', POOLS)
def test_max_pool_of_sums_of_spikes_is_exact_in_every_step(pool, size, is_leaky):
    largest, x = 3, torch.randint(0, 4, (5, 2, 2, *size)).float()
    try:
        want = torch.stack([F.max_pool2d(step, **pool) for step in x])
    except RuntimeError:
        pytest.skip('PyTorch has no such pool of this size')
    graph = GraphBuilder(1e-4, (2, *size))
    spikes = Signal(('input', ), (2, *size), largest)
    if is_leaky:  # the kind of neuron that the pool takes then
        graph.nodes['other'] = nir.LIF(*(np.ones(1) for _ in range(5)))
    settings = [pool['kernel_size'], pool.get('stride', pool['kernel_size']), pool.get('padding', 0)]
    pooled = max_pool(graph, spikes, *settings, tuple(want.shape[-2:]))
    assert pooled.largest == largest
    made = graph.finish(pooled, dict(dt=1e-4))
    assert any(type(node).__name__ == ('LIF' if is_leaky else 'IF') for node in made.nodes.values())
    module, state = from_nir(written_and_read(made)), None
    for step, pooled_step in zip(x, want):
        got, state = module(step, state)
        assert torch.equal(got, pooled_step)


def test_norm_joins_a_convolution_that_nothing_else_reads():
    conv = Conv(np.ones((1, 1, 1, 1)), np.full(1, 3.0), {}, (1, 1))
    norm = Norm(np.full(1, 2.0), np.full(1, 0.5), (1, 1))
    nodes, edges = fold_norms(dict(a=conv, b=norm, c=norm), [('a', 'b'), ('b', 'c')])
    assert set(nodes) == {'a'} and edges == []
    assert (nodes['a'].weight.item(), nodes['a'].bias.item()) == (4.0, 2 * (2 * 3 + 0.5) + 0.5)
    nodes, edges = fold_norms(dict(a=conv, b=norm, out=None), [('a', 'b'), ('b', 'out'), ('a', 'out')])
    assert set(nodes) == {'a', 'b', 'out'} and len(edges) == 3 and nodes['a'].bias == 3
    assert isinstance(nodes['b'], Conv) and nodes['b'].weight.item() == 2


class Own(nn.Module):
    """Stands where a backbone stands; made of functions."""

    def __init__(self, function, neuron=golden.IF):
        super().__init__()
        self.conv, self.neuron, self.function = nn.Conv2d(2, 4, 3), MODELS.build(neuron), function

    def forward(self, x):
        y = self.conv(x.flatten(0, 1) * 2).unflatten(0, x.shape[:2])
        return self.function(self.neuron(y), y),


def own_network(function, **kwargs):
    model = MODELS.build(tiny_student(in_channels=2, widths=(4, 4)))
    model.backbone = Own(function, **kwargs)
    return model.eval()


HELD = dict(
    sum_of_one_signal_with_itself=lambda s, y: s + s,
    sum_of_currents=lambda s, y: (s + y) / 3,
    difference=lambda s, y: 1 - s - y,
    constants_per_channel=lambda s, y: s * torch.arange(4.0).view(4, 1, 1) + 1,
    read_before_and_after_a_norm=lambda s, y: F.batch_norm(
        y.flatten(0, 1), *torch.tensor([[0.1] * 4, [0.5] * 4], dtype=y.dtype)).unflatten(0, y.shape[:2]) + y,
    dead_branch=lambda s, y: (s * 2, s)[1],
    mean_pool=lambda s, y: F.avg_pool2d(s.flatten(0, 1), 2).unflatten(0, s.shape[:2]),
    adaptive_pool=lambda s, y: F.adaptive_avg_pool2d(s.flatten(0, 1), 3).unflatten(0, s.shape[:2]))


@pytest.mark.parametrize('function', HELD.values(), ids=HELD)
def test_networks_of_others_are_held_too(function):
    model, frames = own_network(function), torch.rand(2, 3, 2, 8, 8) * 3
    torch.testing.assert_close(rebuilt(model, frames), Deployed(model).double().logits(frames.double()),
                               rtol=1e-5, atol=1e-5)


class TwoHeads(nn.Module):

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 10), nn.Linear(4, 10, bias=False)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(x[-1].flatten(0, 1), 1).view(*x[-1].shape[:2], -1)
        return self.first(x) + self.second(x)


def test_logits_of_two_heads_add_up():
    model, frames = own_network(lambda s, y: s), torch.rand(2, 3, 2, 8, 8) * 3
    model.head = TwoHeads().eval()
    torch.testing.assert_close(rebuilt(model, frames), Deployed(model).double().logits(frames.double()),
                               rtol=1e-5, atol=1e-5)


NOT_HELD = dict(
    constants_like_a_signal=(lambda s, y: s + torch.ones(1).to(s), 'constants that are made like a signal'),
    product=(lambda s, y: s * s, r'the network|backbone \(Own\): a product of two signals'),
    matmul=(lambda s, y: s @ s, 'a product of two signals'),
    group_norm=(lambda s, y: F.group_norm(y.flatten(0, 1), 2), 'what group_norm computes'),
    relu=(lambda s, y: torch.relu(y), r'backbone \(Own\): what relu computes'),
    max_pool_of_currents=(lambda s, y: F.max_pool2d(y.flatten(0, 1), 2), 'a max-pool of numbers other than spikes'),
    rearranged=(lambda s, y: s.transpose(-1, -2) + y, 'add on a map whose axes are rearranged'),
    over_time=(lambda s, y: s.mean(0, keepdim=True), 'a mean over other axes'),
    first_step=(lambda s, y: s[:1], 'taking a part of a map'),
    steps_apart=(lambda s, y: torch.stack(list(s)), 'taking time steps apart'),
    written=(lambda s, y: s.__setitem__(0, 1), 'writing into a part of a map'),
    in_place=(lambda s, y: s.add_(1), 'what add_ computes'),
    overlapping=(lambda s, y: F.adaptive_avg_pool2d(s.flatten(0, 1), 4), 'averaging 6x6 down to 4x4'),
    constants_per_pixel=(lambda s, y: s * torch.ones(4, 6, 6), 'not one per channel'))


@pytest.mark.parametrize('function, message', NOT_HELD.values(), ids=NOT_HELD)
def test_what_nir_cannot_hold_is_named(function, message):
    with pytest.raises(ValueError, match=f'NIR cannot hold .*{message}'):
        to_nir(Deployed(own_network(function)), (3, 2, 8, 8))


@MODELS.register_module()
class CubicIFNode(IFNode):

    def charge(self, x, v):
        return v + x**3


@pytest.mark.parametrize('neuron, message', [
    (dict(golden.IF, v_reset=None), r'backbone.neuron \(IFNode\): a soft reset'),
    (dict(golden.IF, type='CubicIFNode'), 'a neuron of the type CubicIFNode')])
def test_neurons_that_nir_cannot_hold_are_named(neuron, message):
    with pytest.raises(ValueError, match=message):
        to_nir(Deployed(own_network(lambda s, y: s, neuron=neuron)), (3, 2, 8, 8))


@pytest.mark.parametrize('backbone, changes, message', [
    ('SEWResNet', dict(connect='AND'), r'backbone.layer1.0 \(SEWBlock\): a product of two signals'),
    ('SEWResNet', dict(connect='IAND'), r'backbone.layer1.0 \(SEWBlock\): a product of two signals'),
    ('Spikformer', {}, r'backbone.blocks.0.attention \(SpikingSelfAttention\): a product of two signals'),
    ('Spikingformer', {}, r'backbone.tokenizer.2.pool \(MaxPool2d\): a max-pool of numbers other than spikes'),
    ('QKFormer', {}, 'backbone.*: a max-pool of numbers|attention .*: a sum over an axis'),
    ('MetaSpikeFormer', {}, r'attention.*NormAndPad\): writing into a part of a map')])
def test_layers_of_the_zoo_that_nir_cannot_hold_are_named(backbone, changes, message):
    model, frames = small_network(backbone, **changes)
    with pytest.raises(ValueError, match=message):
        to_nir(Deployed(model), frames.shape[1:])


def test_graphs_of_others_are_an_error_that_says_why():
    threshold = nir.Threshold(np.ones(2))
    graph = nir.NIRGraph.from_list(threshold)
    with pytest.raises(ValueError, match='give dt'):
        from_nir(graph)
    with pytest.raises(ValueError, match='Threshold'):
        from_nir(graph, dt=1e-4)


def test_missing_package_is_named_with_its_command(monkeypatch):
    model, frames = small_network('SEWResNet')
    monkeypatch.setitem(sys.modules, 'nir', None)
    with pytest.raises(SystemExit, match='Error: the export to NIR needs the package nir; .* pip install nir'):
        with fail_clearly():
            to_nir(Deployed(model), frames.shape[1:])


@pytest.mark.parametrize('dt', [0.0, -1.0, float('nan')])
def test_length_of_a_step_is_positive(dt):
    model, frames = small_network('SEWResNet')
    with pytest.raises(ValueError, match='dt='):
        to_nir(Deployed(model), frames.shape[1:], dt=dt)
