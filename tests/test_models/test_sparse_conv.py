"""Convolutions that skip zeros against dense ones."""
import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import golden
from bkdsnn.models import Stream
from bkdsnn.models.layers import SpikeConv2d, SpikingConvUnit, skip_zeros_in, skipping_zeros, sparse_conv
from bkdsnn.registry import MODELS
from bkdsnn.utils import log_once

KERNELS = [dict(kernel_size=1), dict(kernel_size=3), dict(kernel_size=3, stride=2)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def spikes(*shape, density=0.2, dtype=torch.float64, layout=torch.contiguous_format, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(shape, generator=generator) < density) * torch.randint(1, 4, shape, generator=generator)
    return x.to(dtype).to(memory_format=layout)


def conv(in_channels=5, out_channels=32, kernel_size=3, dtype=torch.float64, layout=torch.contiguous_format, **kwargs):
    torch.manual_seed(0)
    kwargs = {'padding': 0 if kernel_size == 1 else 1, **kwargs}
    return SpikeConv2d(in_channels, out_channels, kernel_size, dtype=dtype, **kwargs).to(memory_format=layout)


def run(layer, x, skips_zeros):
    """Output and all gradients; and whether zeros were skipped."""
    layer = copy.deepcopy(layer)
    layer.skips_zeros = skips_zeros
    x = x.clone().requires_grad_(x.is_floating_point())
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype))
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())], _skips(y)


def _skips(y):
    return 'SparseConv' in type(y.grad_fn).__name__


def assert_equals_dense(layer, x):
    want, _ = run(layer, x, False)
    got, skipped = run(layer, x, True)
    assert skipped
    for a, b in zip(got, want):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * max(1, float(b.abs().max())))


@settings(max_examples=40)
@given(n=st.integers(1, 4), in_channels=st.integers(1, 40), height=st.integers(1, 20), width=st.integers(1, 20),
       out_channels=st.sampled_from([32, 48, 80, 96, 128, 160]), kernel=st.sampled_from(KERNELS),
       bias=st.booleans(), layout=st.sampled_from(LAYOUTS), density=st.sampled_from([0, 0.02, 0.25]))
def test_equals_dense_convolution(n, in_channels, height, width, out_channels, kernel, bias, layout, density):
    x = spikes(n, in_channels, height, width, density=density, layout=layout)
    assume((x != 0).sum() <= sparse_conv.MAX_DENSITY * x.numel())
    assert_equals_dense(conv(in_channels, out_channels, **kernel, bias=bias, layout=layout), x)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('size', [3, 8, 32, 65])  # several images in a chunk of the gradient, one, and parts of one
@pytest.mark.parametrize('base', [0, 1])
def test_is_right_in_fp32(kernel, size, base):
    x, layer = base + spikes(9, 70, size, size, layout=torch.channels_last), conv(70, 64, **kernel)
    want, _ = run(layer, x, False)
    got, skipped = run(layer.float(), x.float(), True)
    assert skipped
    for a, b in zip(got, want):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5 * float(b.abs().max()))


def test_any_numbers_are_convolved():
    x = spikes(2, 7, 5, 6) * torch.randn(2, 7, 5, 6, generator=torch.Generator().manual_seed(1)).double()
    assert_equals_dense(conv(7), x)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('shape', [(3, 40, 7, 9), (2, 33, 1, 5), (2, 33, 2, 1), (4, 70, 1, 1), (1, 16, 40, 33)])
def test_ones_are_skipped_where_they_are_more(shape, kernel):
    """As after a max-pool, with sums of two branches and numbers of any kind among them."""
    x = 1 - spikes(*shape, density=0.15) + spikes(*shape, density=0.1, seed=1) * 0.3
    assert (x == 1).double().mean() > 0.7
    assert_equals_dense(conv(shape[1], 96, **kernel), x)
    assert_equals_dense(conv(shape[1], 32, **kernel, bias=False, layout=torch.channels_last), x)


def test_not_a_number_is_no_zero():
    x = spikes(1, 4, 5, 5)
    x[0, 2, 2, 2] = float('nan')
    layer = conv(4)
    layer.skips_zeros = True
    y = layer(x)
    assert _skips(y)
    assert y[..., 1:4, 1:4].isnan().all() and not y[..., 0, :].isnan().any()


def test_narrow_vectors(tmp_path, monkeypatch):
    narrow = tmp_path / 'narrow.cpp'
    narrow.write_text('#undef __AVX512F__\n' + sparse_conv.SOURCE.read_text())
    monkeypatch.setattr(sparse_conv, 'SOURCE', narrow)
    sparse_conv._library.cache_clear()
    try:
        assert sparse_conv._library().sparse_conv_vector_bytes() == 32
        for kernel in KERNELS:
            assert_equals_dense(conv(21, 72, **kernel), spikes(3, 21, 9, 7))
    finally:
        sparse_conv._library.cache_clear()


def test_only_the_gradients_that_are_needed():
    layer, x = conv(), spikes(2, 5, 6, 6)
    layer.skips_zeros = True
    layer(x).sum().backward()
    assert layer.weight.grad is not None and x.grad is None
    layer.requires_grad_(False)
    x.requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert _skips(y) and x.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(layer(x), y)


def test_weight_of_other_strides():
    layer = conv(6)
    layer.weight = nn.Parameter(layer.weight.detach().mT)
    assert not layer.weight.is_contiguous()
    assert_equals_dense(layer, spikes(2, 6, 5, 5))


@pytest.mark.parametrize('kwargs', [
    dict(stride=3), dict(stride=(1, 2)), dict(kernel_size=1, stride=2), dict(kernel_size=5), dict(padding=0),
    dict(padding='same'), dict(dilation=2, padding=2),
    dict(groups=5, out_channels=80), dict(padding_mode='circular'), dict(out_channels=33), dict(out_channels=16),
    dict(kernel_size=(1, 3), padding=(0, 1)),
])
def test_other_convolutions_stay_dense(kwargs):
    layer = conv(**kwargs)
    layer.skips_zeros = True
    y = layer(spikes(2, 5, 6, 6))
    assert y.requires_grad and not _skips(y)
    torch.testing.assert_close(y, nn.Conv2d.forward(layer, spikes(2, 5, 6, 6)), rtol=0, atol=0)


def test_dense_input_is_convolved_densely():
    layer, x = conv(), spikes(2, 5, 6, 6, density=0.7)
    assert min((x != 0).sum(), (x != 1).sum()) > sparse_conv.MAX_DENSITY * x.numel()
    want, _ = run(layer, x, False)
    got, _ = run(layer, x, True)
    assert all(torch.equal(a, b) for a, b in zip(got, want))


def test_nothing_in_a_batch():
    layer = conv()
    layer.skips_zeros = True
    assert layer(torch.zeros(0, 5, 6, 6).double()).shape == (0, 32, 6, 6)


def test_half_precision_is_dense_and_says_so(monkeypatch):
    monkeypatch.setattr(log_once, '_said', set())
    layer = conv(dtype=torch.float32)
    layer.skips_zeros = True
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(spikes(2, 5, 6, 6, dtype=torch.float32)).dtype == torch.bfloat16
    assert 'convolutions are dense in half precision' in log_once._said.pop()


def test_without_a_compiler_the_error_names_the_way_out(monkeypatch):
    monkeypatch.setattr(sparse_conv, 'why_not', lambda device: 'there is no C++ compiler')
    sparse_conv._library.cache_clear()
    layer = conv()
    layer.skips_zeros = True
    with pytest.raises(RuntimeError, match='sparse_conv.cpp cannot be compiled: there is no .* Or set sparse_convs='):
        layer(spikes(2, 5, 6, 6))


def test_a_lack_of_memory_says_nothing_of_the_compiler(monkeypatch):
    def run_out(code):
        raise MemoryError

    sparse_conv._library.cache_clear()
    layer = conv()
    layer.skips_zeros = True
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr('torch._inductor.codecache.CppCodeCache.load', run_out)
        layer(spikes(2, 5, 6, 6))
    assert_equals_dense(layer, spikes(2, 5, 6, 6))


def test_operators_that_are_counted_are_convolutions():
    layer = conv()
    counts = []
    for layer.skips_zeros in (False, True):
        with FlopCounterMode(display=False) as counter:
            layer(spikes(2, 5, 6, 6)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.filterwarnings('ignore::FutureWarning')  # of torch.jit.trace, which counters of operations use
def test_compiled_and_traced_layers_are_dense():
    layer, x = conv(), spikes(2, 5, 6, 6)
    want = layer(x)
    layer.skips_zeros = True
    torch.testing.assert_close(torch.compile(layer, backend='eager', fullgraph=True)(x), want, rtol=0, atol=0)
    program = torch.export.export(layer, (x, ))
    assert any('conv2d' in str(node.target) for node in program.graph.nodes)
    assert 'conv' in str(torch.jit.trace(layer, x).graph)


@pytest.mark.parametrize('backbone, channels', [
    (dict(type='SEWResNet', arch=dict(layers=(1, 1), widths=(32, 64)), in_channels=1, stem='small'), 64),
    (dict(type='Spikformer', arch=dict(depth=1, channels=256, num_heads=4, patch_size=4), in_channels=1), 256),
])
def test_networks_are_the_same(backbone, channels):
    cfg = dict(type='SpikingClassifier', backbone=dict(backbone, T=2, neuron=golden.IF),
               head=dict(type='SpikingLinearHead', num_classes=10, in_channels=channels))
    torch.manual_seed(0)
    dense = MODELS.build(cfg).double()
    dense.init_weights()
    sparse = MODELS.build(dict(cfg, sparse_convs=True, compress_spikes=True, channels_last=True)).double()
    sparse.load_state_dict(dense.state_dict())
    skipped = []
    for module in sparse.modules():
        if isinstance(module, SpikeConv2d):
            module.register_forward_hook(lambda module, x, y: skipped.append(_skips(y)))
    x, grads = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1)).double(), []
    for model in (dense, sparse):
        logits = model(x)
        logits.square().sum().backward()
        grads.append([logits.detach(), *(p.grad for p in model.parameters())])
    assert sum(skipped) >= 2
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_input_is_kept_as_bytes():
    unit = SpikingConvUnit(64, 32, 3, None, dict(type='BN'))
    unit.compress_spikes('unit')
    skip_zeros_in(unit)
    x, skipped = spikes(2 * 3, 64, 9, 9, dtype=torch.float32).unflatten(0, (2, 3)).requires_grad_(), []
    unit.conv.register_forward_hook(lambda conv, x, y: skipped.append(_skips(y)))
    unit(x).sum().backward()
    assert skipped == [True]
    assert unit.compressors['conv'].takes_spikes and x._as_bytes[1].dtype == torch.uint8


def small_network():
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='SpikingClassifier', head=dict(type='SpikingLinearHead', num_classes=10, in_channels=64),
        backbone=dict(type='SEWResNet', arch=dict(layers=(1, 1), widths=(32, 64)), in_channels=1, stem='small', T=3,
                      neuron=golden.IF))).double()
    for _ in range(5):
        model(torch.randn(4, 1, 16, 16).double())
    return model


def test_network_for_inference_keeps_its_weights_in_order_and_predicts_the_same(monkeypatch):
    model, x, packs = small_network().eval(), torch.randn(2, 1, 16, 16).double(), []
    pack = sparse_conv.pack
    monkeypatch.setattr(sparse_conv, 'pack', lambda weight: packs.append(weight) or pack(weight))
    fast = skipping_zeros(model)
    with torch.no_grad():
        want, stream = model(x), Stream(fast)
        torch.testing.assert_close(torch.stack([stream.step(x) for _ in range(3)]), want)
        ordered = len(packs)
        torch.testing.assert_close(fast(x), want)
        assert ordered == len(packs) >= 3 and not any(module.skips_zeros for module in model.modules()
                                                      if isinstance(module, SpikeConv2d))
        # Other weights are not taken for those whose order was kept.
        for change in (lambda net: [p.mul_(1.5) for p in net.parameters()],
                       lambda net: net.load_state_dict(small_network().state_dict())):
            change(model), change(fast)
            torch.testing.assert_close(fast(x), model(x))
        packs.clear()
        assert fast.float()(x.float()).dtype == torch.float32 and packs
    packs.clear()
    fast(x.float()).sum().backward()
    assert packs  # with gradients weights may change in any way


def test_what_was_kept_is_not_taken_for_a_weight_in_its_place():
    fast, x = skipping_zeros(small_network().eval()), torch.randn(2, 1, 16, 16).double()
    (conv, *_) = [module for module in fast.modules() if isinstance(module, SpikeConv2d) and module.in_channels > 1]
    with torch.no_grad():
        fast(x)
        assert conv._packed is not None
        assert all(getattr(module, '_packed', None) is None for module in copy.deepcopy(fast).modules())
        fast.half().double()  # where the old weight was, as may be
        assert conv._packed is None
    with torch.inference_mode():
        made = SpikeConv2d(32, 32, 3, padding=1, bias=False)
        made.skips_zeros = made.keeps_order = True
        ones = torch.zeros(1, 32, 4, 4)
        ones[0, 0, 1, 1] = 1
        made(ones)
        made.load_state_dict({'weight': torch.ones(32, 32, 3, 3)})
        assert made(ones).sum() == 9 * 32


def test_what_has_no_spikes_to_skip_is_named():
    with pytest.raises(ValueError, match=r'call model.eval\(\) first'):
        skipping_zeros(small_network())
    with pytest.raises(ValueError, match='Conv2d has no SpikeConv2d'):
        skipping_zeros(nn.Conv2d(3, 3, 1).eval())
