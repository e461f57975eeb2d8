"""Norms in their neuron's pass, spikes kept as bytes, channels-last, and networks, against what they replace."""
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bkdsnn.models.layers import SpikingConvUnit, channels_last, compress
from bkdsnn.models.neurons import nodes
from bkdsnn.registry import MODELS
from on_gpu import assert_near, assert_same_spikes, build, distances, run

PLIF = dict(type='ParametricLIFNode', tau=1.75, decay_input=True, v_threshold=0.5, v_reset=0.0, detach_reset=True,
            surrogate=dict(type='ATan', alpha=2.0))
LIF = dict(PLIF, type='LIFNode', tau=2.0)
LAYOUTS = dict(contiguous=torch.contiguous_format, channels_last=torch.channels_last)


@pytest.fixture
def joined(monkeypatch):
    """The norms that ran in a neuron's pass, ``None`` for a neuron without."""
    calls, run_compiled = [], nodes.run_compiled

    def counted(node, x, may_fall_back, norm=None, v=None):
        calls.append(norm)
        return run_compiled(node, x, may_fall_back, norm, v)
    monkeypatch.setattr(nodes, 'run_compiled', counted)
    return calls


def randomise(norm, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for value in (norm.weight, norm.bias, norm.running_mean):
        value.data.copy_(torch.randn(value.shape, generator=generator))
    norm.running_var.copy_(0.5 + 1.5 * torch.rand(norm.running_var.shape, generator=generator))
    return norm


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('norm', ['BN', 'SyncBN'])
def test_unit_with_the_norm_in_the_neurons_pass(joined, layout, training, norm):
    """In fp64: spikes, all gradients and the statistics."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 5, 6, 9, generator=generator, dtype=torch.float64)
    x = x.cuda().contiguous(memory_format=LAYOUTS[layout]).unflatten(0, (4, 3))
    results = {}
    for backend in ('compile', 'eager'):
        torch.manual_seed(0)
        unit = SpikingConvUnit(5, 7, 3, dict(PLIF, backend=backend), dict(type=norm, momentum=0.2))
        randomise(unit.norm)
        unit = unit.double().cuda().to(memory_format=LAYOUTS[layout]).train(training)
        grad = torch.randn(4, 3, 7, 6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64).cuda()
        names = ['input', *dict(unit.named_parameters())]
        spikes, *grads = run(unit, x, grad)
        results[backend] = spikes, dict(zip(names, grads)), dict(unit.named_buffers())
    assert len(joined) == 1 and isinstance(joined[0], nn.modules.batchnorm._BatchNorm), joined
    got, want = results['compile'], results['eager']
    assert 0.05 < want[0].mean() < 0.9
    assert_same_spikes(got[0], want[0], f'{norm}, {layout}, training={training}')
    for found, wanted, what in ((got[1], want[1], 'gradient of'), (got[2], want[2], 'buffer')):
        for name in wanted:
            assert_near(found[name], wanted[name], 1e-9, f'{norm}, {layout}, training={training}, {what} {name}')


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_norm_and_neuron_in_one_pass_keep_fp32(dtype, training):
    """Against fp64, on inputs of which no membrane is within 2e-5 of its threshold; fp32 rounds to a tenth of that."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, 4, 6, 8, 8, generator=generator).cuda().to(dtype)
        exact = randomise(nn.BatchNorm2d(6)).double().cuda().train(training)
        near = distances(build(LIF, 'eager'), x.double(), norm=copy.deepcopy(exact)).min().item()
        if near > 2e-5:
            break
    assert near > 2e-5, f'in 20 inputs a membrane is within {near:.3g} of the threshold'
    grad = torch.randn(x.shape, generator=generator).cuda().to(dtype)
    want = run_normed(build(LIF, 'eager'), exact, x.double(), grad.double())
    # Each is another kernel; fp32 has both.
    layouts = {torch.float32: list(LAYOUTS), torch.bfloat16: ['channels_last'], torch.float16: ['contiguous']}
    for layout in layouts[dtype]:
        norm = randomise(nn.BatchNorm2d(6)).cuda().train(training)
        a, b = (channels_last(x), channels_last(grad)) if layout == 'channels_last' else (x, grad)
        got = run_normed(build(LIF, 'compile'), norm, a, b)
        what = f'{dtype}, training={training}, {layout}'
        assert got['spikes'].dtype == got['input'].dtype == dtype
        assert_same_spikes(got.pop('spikes'), want['spikes'], what)
        eps = 1e-5 if dtype is torch.float32 else 4 * torch.finfo(dtype).eps
        for name, value in got.items():
            assert_near(value, want[name], 1e-5 if 'running' in name else eps, f'{what}, {name}')


def run_normed(node, norm, x, grad):
    x = x.detach().requires_grad_()
    spikes = node(x, norm=norm)
    grads = torch.autograd.grad(spikes, (x, norm.weight, norm.bias), grad)
    return dict(spikes=spikes.detach(), input=grads[0], weight=grads[1], bias=grads[2],
                running_mean=norm.running_mean.clone(), running_var=norm.running_var.clone())


# ---- whole networks ----

def classifier(backbone, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='SpikingClassifier', backbone=backbone,
                             head=dict(type='SpikingLinearHead', num_classes=10, in_channels=16), **options))


SEW = dict(type='SEWResNet', arch=dict(layers=(1, 1), widths=(8, 16)), T=4, neuron=PLIF, in_channels=2, stem='small')
FORMER = dict(type='Spikformer', arch=dict(depth=1, channels=16, num_heads=2, patch_size=4), T=4, neuron=PLIF,
              tokenizer='sps', in_channels=2)


@pytest.mark.parametrize('backbone', [SEW, FORMER], ids=lambda cfg: cfg['type'])
def test_network_is_that_of_a_cpu_in_either_order_of_memory(backbone):
    """In fp64: logits, gradients and statistics of a step, eager on the CPU and compiled on the GPU."""
    generator = torch.Generator().manual_seed(3)
    frames = 4 * torch.rand(3, 4, 2, 16, 16, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (3, ), generator=generator)
    results = {}
    for kind, device, last in (('CPU', 'cpu', False), ('GPU', 'cuda', False), ('GPU, channels last', 'cuda', True)):
        model = classifier(backbone, channels_last=last).double().to(device).train()
        logits = model(frames.to(device))
        F.cross_entropy(logits.mean(0), labels.to(device)).backward()
        results[kind] = dict(logits=logits.detach(), **dict(model.named_buffers()),
                             **{f'gradient of {name}': p.grad for name, p in model.named_parameters()})
    want = results.pop('CPU')
    assert want['logits'].std() > 0
    for kind, got in results.items():
        for name, value in want.items():
            if value.is_floating_point():
                scale = max(value.abs().max().item(), 1e-12)
                error = (got[name].cpu() - value).abs().max().item()
                assert error <= 1e-7 * scale + 1e-10, f'{kind}, {name}: error {error:.3g}, largest value {scale:.3g}'


def test_compressed_spikes_take_less_memory_and_change_nothing():
    torch.backends.cudnn.deterministic = True
    backbone = dict(type='SEWResNet', arch=dict(layers=(2, 2), widths=(16, 16)), T=4, in_channels=3,
                    neuron=dict(LIF, type='IFNode'))
    del backbone['neuron']['tau'], backbone['neuron']['decay_input']
    generator = torch.Generator().manual_seed(4)
    images, labels = torch.rand(16, 3, 64, 64, generator=generator).cuda() * 4, torch.arange(16).cuda() % 10
    results, kept = [], []
    for compress_spikes in (False, True):
        model = classifier(backbone, compress_spikes=compress_spikes).cuda().train()
        start = copy.deepcopy(model.state_dict())
        for _ in range(2):  # kernels are compiled in the first
            model.load_state_dict(start)
            model.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            loss = F.cross_entropy(model(images).mean(0), labels)
            kept.append(torch.cuda.memory_allocated() - before)
            loss.backward()
        results.append((loss.detach(), {name: p.grad for name, p in model.named_parameters()}))
    print(f'kept for backward: {kept[1] / 2**20:.1f} MiB, compressed {kept[3] / 2**20:.1f} MiB')
    (loss, grads), (small_loss, small_grads) = results
    assert torch.equal(loss, small_loss), f'loss {loss.item()!r}, compressed {small_loss.item()!r}'
    for name in grads:
        assert_near(small_grads[name], grads[name], 1e-6, f'gradient of {name}')
    assert kept[3] < 0.65 * kept[1], f'{kept[3]} of {kept[1]} bytes'


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_bytes_hold_whole_numbers_only(dtype):
    """What they do not hold is noticed: a check that missed it would train on other numbers."""
    spikes = torch.tensor([0.0, 1.0, 2.0, 255.0]).repeat(2, 3, 5, 1).cuda().to(dtype)
    for x in (spikes, channels_last(spikes)):
        packed, is_exact = compress._to_bytes(x)
        assert is_exact.item() and packed.dtype == torch.uint8 and packed.stride() == x.stride()
        assert torch.equal(packed.to(dtype), x)
        missed = []
        for value in (0.5, -1.0, 256.0, 257.0, 65536.0, 2.0**33, float('inf'), float('nan')):
            wrong = x.clone()
            wrong[1, 2, 3, 1] = value
            if wrong[1, 2, 3, 1] != 256 or value == 256:  # bf16 rounds 257
                missed += [value] * compress._to_bytes(wrong)[1].item()
        assert not missed, f'taken for numbers from 0 to 255: {missed}'
