"""The norm in the neuron's pass, and spikes kept as bytes, against units without either."""
import copy
from functools import partial

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from bkdsnn.models.layers import SpikingConvUnit, SpikingSelfAttention, compress
from bkdsnn.models.layers.compress import SmallMaxPool2d, SpikeCompressor, compress_spikes_in
from bkdsnn.models.neurons import LIFNode, compiled, nodes
from bkdsnn.registry import MODELS

NEURON = dict(type='ParametricLIFNode', tau=1.75, decay_input=True, v_threshold=0.5, v_reset=0.0, detach_reset=True,
              surrogate=dict(type='ATan', alpha=2.0))
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def unit(backend='eager', norm=dict(type='BN'), layout=torch.contiguous_format):
    torch.manual_seed(0)
    unit = SpikingConvUnit(5, 7, 3, dict(NEURON, backend=backend), norm)
    for p in (unit.norm.weight, unit.norm.bias, unit.norm.running_mean):
        nn.init.normal_(p)
    nn.init.uniform_(unit.norm.running_var, 0.5, 2.0)
    return unit.to(memory_format=layout)


def image(layout=torch.contiguous_format, channels=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4 * 3, channels, 6, 9, generator=generator).to(memory_format=layout).unflatten(0, (4, 3))


def run(module, x, forward=None):
    """Output, all gradients, all buffers."""
    x = x.clone().requires_grad_()
    y = (forward or module)(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)))
    return [y.detach(), x.grad, *(p.grad for p in module.parameters()), *module.buffers()]


@pytest.fixture
def small_inputs_too(monkeypatch):
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 0)


@pytest.fixture
def joined(monkeypatch):
    """Counts the norms that ran in a neuron's pass."""
    calls = []
    run_compiled = nodes.run_compiled

    def counted(node, x, may_fall_back, norm=None, v=None):
        calls.append(norm)
        return run_compiled(node, x, may_fall_back, norm, v)
    monkeypatch.setattr(nodes, 'run_compiled', counted)
    return calls


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('norm', ['BN', 'SyncBN'])
def test_the_norm_in_the_neurons_pass(joined, layout, training, norm):
    got, want = (run(unit(backend, dict(type=norm, momentum=0.2), layout).double().train(training),
                     image(layout).double())
                 for backend in ('compile', 'eager'))
    assert isinstance(joined[0], nn.BatchNorm2d) and len(joined) == 1
    assert torch.equal(got[0], want[0]) and 0.05 < got[0].mean() < 0.9
    for a, b in zip(got[1:], want[1:]):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * b.abs().max().item())


def test_what_mmengine_makes_of_synchronised_norms_in_one_process_joins_too(joined):
    """On a GPU its runner turns ``SyncBN`` into a class of its own."""
    got, want = unit('compile'), unit()
    norm = nn.SyncBatchNorm(7)
    norm.load_state_dict(got.norm.state_dict())
    got.norm = revert_sync_batchnorm(norm)
    assert type(got.norm) is not nn.BatchNorm2d
    got, want = run(got.double(), image().double()), run(want.double(), image().double())
    assert len(joined) == 1 and joined[0] is not None
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * b.abs().max().item())


def test_the_norm_in_passes_of_a_few_steps(joined, monkeypatch):
    monkeypatch.setattr(compiled, 'MAX_STEPS_AT_ONCE', 3)
    got, want = (run(unit(backend).double(), image().double()) for backend in ('compile', 'eager'))
    assert len(joined) == 1 and torch.equal(got[0], want[0])
    for a, b in zip(got[1:], want[1:]):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * b.abs().max().item())


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_the_norm_in_the_neurons_pass_learns_once_when_it_is_recomputed(joined, use_reentrant):
    module, plain = unit('compile').double(), unit('compile').double()
    for got, want in zip(run(module, image().double(), partial(checkpoint, module, use_reentrant=use_reentrant)),
                         run(plain, image().double())):
        assert torch.equal(got, want)
    assert module.norm.num_batches_tracked == 1 and len(joined) == 3 and None not in joined


def test_only_the_convolutions_output_is_kept():
    kept = []
    fused, x = unit('compile'), image()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = fused.neuron(x := fused.conv(x.flatten(0, 1)).unflatten(0, (4, 3)), norm=fused.norm)
    assert y.shape == x.shape
    large = [t for t in kept if t.numel() == x.numel()]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]


class Listening(LIFNode):
    """Has a forward of its own."""

    def forward(self, x, backend=None):
        return super().forward(x, backend)


def test_what_keeps_norm_and_neuron_apart(joined):
    class OtherNorm(nn.BatchNorm2d):
        pass

    for change in (lambda u: u.norm.register_forward_hook(lambda *a: None),
                   lambda u: u.neuron.register_forward_hook(lambda *a: None),
                   lambda u: setattr(u, 'norm', OtherNorm(7)),
                   lambda u: setattr(u, 'norm', nn.BatchNorm2d(7, affine=False)),
                   lambda u: setattr(u, 'norm', nn.BatchNorm2d(7, momentum=None)),
                   lambda u: setattr(u, 'neuron', Listening(**{k: v for k, v in NEURON.items() if k != 'type'},
                                                            backend='compile'))):
        module = unit('compile')
        change(module)
        module(image())
    assert joined == [None] * 6


def test_half_precision_is_normalised_in_fp32():
    x = image().bfloat16()
    node, norm = unit('compile').neuron, unit().norm
    spikes = node(x[:, :, [0, 1, 2, 3, 4, 0, 1]], norm=norm)
    norm_of_fp32 = unit().norm
    want = node(norm_of_fp32(x[:, :, [0, 1, 2, 3, 4, 0, 1]].float().flatten(0, 1)).unflatten(0, (4, 3)))
    assert spikes.dtype == torch.bfloat16 and torch.equal(spikes.float(), want)


def test_a_single_value_per_channel_is_an_error_and_leaves_no_trace():
    module = unit('compile')
    before = [b.clone() for b in module.norm.buffers()]
    with pytest.raises(ValueError, match=r'Expected more than 1 value per channel .* got input size \(1, 1, 7, 1, 1\)'):
        module(image()[:1, :1, :, :1, :1])
    assert all(torch.equal(a, b) for a, b in zip(module.norm.buffers(), before))


def test_statistics_are_updated_once_where_a_node_has_no_graph(small_inputs_too):
    class DependsOnValues(LIFNode):
        def charge(self, x, v):
            return super().charge(x, v) if x.sum() > 0 else super().charge(x, v)

    results = []
    for backend in ('auto', 'eager'):
        module = unit(backend)
        module.neuron = DependsOnValues(**{k: v for k, v in NEURON.items() if k != 'type'}, backend=backend)
        results.append(run(module, image()))
    for a, b in zip(*results):
        assert torch.equal(a, b)


def alive_after(layer, x):
    """The layer's output, and whether the input's memory outlives the call."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_() * 1
    storage = StorageWeakRef(x.untyped_storage())
    y = layer(x)
    del x
    return y, not storage.expired()


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('compiled', [False, True])
def test_spikes_are_kept_as_bytes_and_exact(monkeypatch, layout, compiled):
    monkeypatch.setattr(compress, '_kernels', {})
    if compiled:
        monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', 0)
    spikes = (image(layout) > 0).float() * 3
    plain, small = unit('eager', layout=layout), unit('eager', layout=layout)
    small.compress_spikes('small')
    for a, b in zip(run(small, spikes), run(plain, spikes)):
        assert torch.equal(a, b)
    assert small.compressors['conv'].takes_spikes
    assert bool(compress._kernels) == compiled

    def layer(x):
        return small.conv(x.flatten(0, 1))

    y, is_alive = alive_after(layer, spikes)
    assert is_alive
    y_small, is_alive = alive_after(lambda x: small.compressors['conv'](layer, x), spikes)
    assert not is_alive and torch.equal(y, y_small)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('size', [9, 200])
def test_of_a_max_pool_only_the_places_are_kept(layout, size):
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3)).to(memory_format=layout)
    for pool in (nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d((2, 3), dilation=(1, 2), ceil_mode=True)):
        want, got, kept = x.clone().requires_grad_(), x.clone().requires_grad_(), []
        y, small = pool(want), SmallMaxPool2d.like(pool)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            z = small(got)
        assert [(t.dtype, t.shape) for t in kept] == [(torch.int16 if size**2 <= 2**15 else torch.int32, y.shape)]
        check_pool(y, z, want, got)
        with torch.no_grad():
            assert torch.equal(small(x), y)


def check_pool(y, z, want, got):
    grad = torch.randn(y.shape)
    for result in (y, z):
        result.backward(grad)
    assert torch.equal(y, z) and torch.equal(got.grad, want.grad) and got.grad.stride() == want.grad.stride()


def test_layers_that_read_one_input_share_its_bytes():
    conv, x = nn.Conv2d(5, 7, 3), (image() > 0).float()[0].requires_grad_() * 1
    compressors = [SpikeCompressor('a'), SpikeCompressor('b')]
    compressors[0](conv, x)
    first = x._as_bytes[1]
    compressors[1](conv, x)
    assert x._as_bytes[1] is first
    x.add_(1)  # changed in place
    compressors[1](conv, x).sum().backward()
    want = torch.autograd.grad(conv(x).sum(), conv.weight)[0]
    assert torch.equal(conv.weight.grad, want)


def test_other_numbers_are_kept_as_they_are():
    plain, small = unit('eager'), unit('eager')
    small.compress_spikes('small')
    for a, b in zip(run(small, image()), run(plain, image())):
        assert torch.equal(a, b)
    assert small.compressors['conv'].takes_spikes is False


def test_data_are_kept_as_they_are():
    """Counts of events are whole numbers until mixup meets them."""
    conv, compressor, counts = nn.Conv2d(5, 7, 3), SpikeCompressor('stem.conv'), (image() > 0).float()[0]
    compressor(conv, counts)
    assert compressor.takes_spikes is None and not hasattr(counts, '_as_bytes')
    y = compressor(conv, counts * 0.3)
    assert torch.equal(y, conv(counts * 0.3))


@pytest.mark.parametrize('value', [0.5, -1.0, 256.0, float('nan')])
def test_spikes_that_become_other_numbers_are_an_error(value):
    conv, compressor, x = nn.Conv2d(5, 7, 3), SpikeCompressor('backbone.unit.conv'), (image() > 0).float()[0]
    compressor(conv, x.clone().requires_grad_())
    x[0, 0, 0, 0] = value
    x.requires_grad_()
    with pytest.raises(RuntimeError, match=r'backbone\.unit\.conv: the input held spikes.*compress_spikes=False'):
        compressor(conv, x)
    with torch.no_grad():  # nothing is kept
        compressor(conv, x)


def test_attention_keeps_bytes():
    torch.manual_seed(0)
    attention = SpikingSelfAttention(16, 4, dict(NEURON), dict(type='BN'), spike_first=False)
    x = (image(channels=16) > 0).float()
    want = run(copy.deepcopy(attention), x)
    for name, module in attention.named_modules():
        if hasattr(module, 'compress_spikes'):
            module.compress_spikes(name)
    for a, b in zip(run(attention, x), want):
        assert torch.equal(a, b)
    assert attention.compressor.takes_spikes and attention.query.compressors['conv'].takes_spikes


def test_max_pools_outside_of_units_keep_the_places_alone():
    cfg = dict(type='SEWDVSNet', arch=dict(widths=(8, 8)), neuron=dict(NEURON, backend='eager'))
    results = []
    for compresses in (False, True):
        torch.manual_seed(0)
        network = MODELS.build(cfg)
        if compresses:
            compress_spikes_in(network)
        x = torch.rand(3, 2, 2, 16, 16, generator=torch.Generator().manual_seed(1)) * 3
        network(x)[-1].square().sum().backward()
        results.append([parameter.grad for parameter in network.parameters()])
    for a, b in zip(*results):
        assert torch.equal(a, b)
    pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]
    assert len(pools) == 2 and {type(pool) for pool in pools} == {SmallMaxPool2d}


def test_the_classifiers_switch():
    neuron = dict(NEURON, backend='eager')
    backbone = dict(type='SEWResNet', arch=dict(layers=(1, 1), widths=(8, 16)), T=2, neuron=neuron)
    results = []
    for compress_spikes in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(dict(type='SpikingClassifier', backbone=backbone, compress_spikes=compress_spikes,
                                  head=dict(type='SpikingLinearHead', num_classes=3, in_channels=16)))
        x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        y = model.extract_feat(x)[-1]
        y.sum().backward()
        results.append([y.detach(), *(p.grad for p in model.backbone.parameters())])
    for a, b in zip(*results):
        assert torch.equal(a, b)
    taken = {compressor.name: compressor.takes_spikes for module in model.modules()
             if isinstance(module, SpikingConvUnit) for compressor in module.compressors.values()
             if isinstance(compressor, SpikeCompressor)}
    assert taken.pop('backbone.stem.conv') is None  # images
    assert len(taken) == 5 and all(taken.values())
