"""Neurons of other authors against the numbers recorded from their code, in float64."""
import pytest
import torch

import golden
from bkdsnn.registry import MODELS

ATAN, SIGMOID = dict(type='ATan', alpha=2.0), dict(type='Sigmoid', alpha=4.0)
RECTANGLE = dict(type='Rectangular', alpha=1.0)


def cases(name):
    return [pytest.param(name, case, id=case) for case in golden.cases(name) if 'clifspike' not in case]


def integer(name, case):
    D = int(case['meta/D'])
    if name.startswith('ilif'):
        return dict(type='ILIFNode', D=D, decay=float(case['meta/decay']))
    if name.startswith('nilif'):
        return dict(type='NILIFNode', D=D)
    return dict(type='SFANode', D=D, norm=int(case['meta/Norm']))


def parallel(name, case):
    cfg = dict(surrogate=SIGMOID if str(case['meta/surrogate']) == 'sigmoid' else ATAN)
    kind, T, k = str(case['meta/kind']), int(case['meta/T']), int(case['meta/k'])
    if kind == 'psn':
        return dict(cfg, type='PSNNode', T=T)
    if kind == 'masked':
        return dict(cfg, type='MaskedPSNNode', T=T, k=k, mask=float(case['meta/lambda_']))
    return dict(cfg, type='SlidingPSNNode', k=k)


def glif(name, case):
    channels = None if name.startswith('layerwise') else case['in/x'].shape[2]
    return dict(type='GLIFNode', T=int(case['meta/T']), surrogate=RECTANGLE, channels=channels,
                hard_gates='hard' in name)


def clif(name, case):
    return dict(type='CLIFNode', tau=float(case['meta/tau']), v_threshold=1.0,
                surrogate=dict(type='Rectangular', alpha=float(case['meta/alpha'])))


def lif_without_input_decay(name, case):
    return dict(type='LIFNode', tau=float(case['meta/tau']), decay_input=False, v_threshold=1.0, v_reset=0.0,
                detach_reset=bool(case['meta/detach_reset']), surrogate=SIGMOID)


def zif(name, case):
    return dict(type='LIFNode', tau=1 / (1 - float(case['meta/tau'])), decay_input=False, v_threshold=1.0, v_reset=0.0,
                detach_reset=False, strict=True,
                surrogate=dict(type='PiecewiseQuadratic', alpha=1 / float(case['meta/gama'])))


KINDS = dict(neuron_integer=integer, neuron_psn=parallel, neuron_clif=clif, neuron_glif=glif,
             neuron_lif_no_input_decay=lif_without_input_decay, neuron_zif=zif)
# Ours where it is not the recorded name.
PARAMETERS = dict(Vth='threshold', reVth='reset')


@pytest.mark.parametrize('name, case', [case for name in KINDS for case in cases(name)])
def test_neuron_equals_the_recorded_one(name, case):
    recorded = golden.load(name, case)
    node = MODELS.build(KINDS[name](case, recorded)).double()
    parameters = dict(node.named_parameters())
    for key, value in recorded.items():
        if key.startswith('state/'):
            key = key[len('state/'):]
            parameters[PARAMETERS.get(key, key)].data = value.reshape(parameters[PARAMETERS.get(key, key)].shape)
    x = recorded['in/x'].double()
    memoryless = x.dim() == 2  # recorded without a time axis
    x = (x.unsqueeze(0) if memoryless else x).requires_grad_()
    spikes = node(x)
    (spikes * recorded['in/grad_spikes']).sum().backward()
    assert torch.equal((spikes[0] if memoryless else spikes).float(), recorded['out/spikes'])
    tolerance = 1e-6 if name in ('neuron_glif', 'neuron_zif') else 1e-7
    golden.assert_close(x.grad.view_as(recorded['grad/x']), recorded['grad/x'], tolerance, 'x')
    for key, value in recorded.items():
        if key.startswith('grad/') and key != 'grad/x':
            grad = parameters[PARAMETERS.get(key[len('grad/'):], key[len('grad/'):])].grad
            golden.assert_close(grad.reshape(value.shape), value, tolerance, key)
    if 'out/membrane' in recorded and hasattr(node, 'charge'):
        v, charged = None, []
        for x_t in x.detach():
            charged.append(node.charge(x_t, node.rest(x_t) if v is None else v))
            v = node.step(x_t, v)[1]
        golden.assert_close(torch.stack(charged), recorded['out/membrane'], 1e-9, 'membrane')


def test_in_place_twin_of_clif_is_not_what_is_built():
    """The public file's second class overwrites its memory; it differs from the second step on."""
    recorded = golden.load('neuron_clif', 'clifspike__T4_tau2')
    spikes = MODELS.build(clif('', dict(recorded, **{'meta/alpha': 1.0}))).double()(recorded['in/x'].double())
    assert torch.equal(spikes[0].float(), recorded['out/spikes'][0])
    assert not torch.equal(spikes.float(), recorded['out/spikes'])
