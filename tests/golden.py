"""Numbers recorded from the authors' code (``tests/data/golden`` and ``golden2``), in double precision.

They were recorded in single precision. Compared in it, a verdict would depend on the order in which a processor adds:
a membrane next to the threshold spikes or not, and everything after it changes.
"""
import json
import zlib
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bkdsnn.checkpoints.official import keys as official_keys
from bkdsnn.models import SpikingClassifier
from bkdsnn.models.neurons import SpikingNode

ROOTS = [Path(__file__).parent / 'data' / name for name in ('golden', 'golden2')]

IF = dict(type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0))
LIF = dict(type='LIFNode', tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0, detach_reset=True,
           surrogate=dict(type='Sigmoid', alpha=4.0))

PLIF = dict(type='ParametricLIFNode', tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0, detach_reset=True,
            surrogate=dict(type='ATan', alpha=2.0))


def path_of(file):
    """Where a file lies."""
    return next(root / file for root in ROOTS if (root / file).is_file())


def load(name, case=None, dtype=torch.float64):
    """Arrays of a file as tensors, floats in ``dtype`` (strings stay arrays); with ``case``, those below ``case/``."""
    with np.load(path_of(f'{name}.npz'), allow_pickle=False) as data:
        prefix = f'{case}/' if case else ''
        arrays = {key[len(prefix):]: data[key] for key in data.files if key.startswith(prefix)}
    tensors = {k: v if v.dtype.kind == 'U' else torch.from_numpy(np.asarray(v)) for k, v in arrays.items()}
    return {k: v.to(dtype) if v.dtype is torch.float32 else v for k, v in tensors.items()}


def cases(name):
    """Names of the cases in a file, without the ones recorded with swapped arguments."""
    return [case for case in load(name)['meta/cases'].tolist() if 'swapped' not in case]


def recipe_weights(name):
    """Weights of a whole net as the authors' had them, in single precision, generated from its keys."""
    recipe = json.loads(path_of(f'{name}.keys.json').read_text())
    weights = {}
    for entry in recipe['entries']:
        key, shape, rule, scale = entry['key'], entry['shape'], entry['rule'], entry['scale']
        n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
        value = {
            'fan_in': lambda: n * scale,
            'bias': lambda: n * scale,
            'norm_weight': lambda: recipe['norm_gain'] * (1 + scale * n),
            'running_var': lambda: 1 + scale * abs(n),
            'plif_w': lambda: n * scale,
            'zero': lambda: np.zeros(shape),
        }[rule]()
        weights[key] = torch.from_numpy(np.asarray(value)).to(getattr(torch, entry['dtype']))
    return weights


def sew_resnet18():
    """SEW-ResNet-18 with the weights of the recording ``sew_resnet18``, in double precision."""
    model = SpikingClassifier(
        backbone=dict(type='SEWResNet', arch=18, T=4, neuron=IF, out_indices=(0, 1, 2, 3)),
        head=dict(type='SpikingLinearHead', num_classes=10, in_channels=512))
    model.load_state_dict(official_keys.convert(recipe_weights('sew_resnet18'), official_keys.SEW_RESNET))
    return model.double()


def sew_dvs_net(connect='ADD'):
    """The SEW network for events with the weights of ``sew_dvs``, as above, and the rules that rename its keys."""
    weights = recipe_weights('sew_dvs')
    rules = official_keys.sew_dvs_rules([official_keys.canonical(key) for key in weights])
    model = SpikingClassifier(
        backbone=dict(type='SEWDVSNet', arch='cifar10-dvs', neuron=PLIF, connect=connect),
        head=dict(type='SpikingLinearHead', num_classes=10, in_channels=128))
    model.load_state_dict(official_keys.convert(weights, rules))
    return model.double(), rules


@contextmanager
def recorded_spikes(model, sequence=''):
    """Spikes of every neuron that runs inside the block, in call order.

    Those of modules whose name contains ``sequence`` are turned into the (T, B, tokens, C) of authors who think so.
    """
    spikes = []

    def record(as_sequence, module, inputs, output):
        output = module.integers(output.detach()) if module.emits_integers else output.detach()
        spikes.append(output.flatten(3).mT if as_sequence else output)

    handles = [module.register_forward_hook(partial(record, bool(sequence) and sequence in name))
               for name, module in model.named_modules() if isinstance(module, SpikingNode)]
    yield spikes
    for handle in handles:
        handle.remove()


def checksum(spikes):
    flat = spikes.flatten().double()
    return (flat * torch.cos(0.1 * torch.arange(flat.numel(), dtype=torch.float64) + 0.3)).sum().item()


def assert_spikes_equal(spikes, golden, mode):
    """Compare counts exactly and checksums to 1e-6; layers may run in another order within a block."""
    want = sorted(zip(golden[f'out/{mode}/spike_counts'].tolist(), golden[f'out/{mode}/spike_checksum'].tolist()))
    got = sorted((s.sum().item(), checksum(s)) for s in spikes)
    assert [count for count, _ in got] == [count for count, _ in want]
    np.testing.assert_allclose([c for _, c in got], [c for _, c in want], rtol=1e-6, atol=1e-6)


def assert_close(got, want, rtol, what='', noise=0.0):
    """Largest difference at most ``rtol`` times the largest wanted value, and what is ``noise`` in the recording."""
    error, scale = (got - want).abs().max().item(), max(want.abs().max().item(), 1e-12)
    assert got.shape == want.shape and error <= rtol * scale + noise, f'{what}: off by {error:.2e} at scale {scale:.2e}'
