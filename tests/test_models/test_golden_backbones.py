"""E-SpikeFormer and Max-Former against the numbers recorded from their authors' code, in float64."""
import numpy as np
import pytest
import torch

import golden
from bkdsnn.models import ESpikeFormer, FeatureRecorder, MaxFormer, MaxResNet, time_mean
from bkdsnn.registry import MODELS
from bkdsnn.utils import official_keys
from bkdsnn.utils.checkpoint import fit_weights
from bkdsnn.utils.official_models import FAMILIES, convert_official

NETS = ['espikeformer_tiny', 'maxformer_imagenet_tiny', 'maxformer_cifar_tiny']
# Our place of the recorded outputs.
TAPS = {'block3.5': 'backbone.stages.3.5', 'block4.1': 'backbone.stages.4.1', 'stage2.1': 'backbone.stages.1.1',
        'stage3.1': 'backbone.stages.2.1', 'stage3.6': 'backbone.stages.2.6'}
SFA = dict(type='SFANode', D=4, norm=4)


def network(name):
    """The converted network with the recipe's weights, and the rules that rename its keys."""
    weights = golden.recipe_weights(name)
    converted = convert_official(weights, arch=dict(num_heads=int(golden.load(name)['meta/num_heads'])))
    model = MODELS.build(converted.model)
    fit_weights(model, converted.weights, 'the recording does not fit the')
    return model.double(), FAMILIES[converted.family].rules([official_keys.canonical(key) for key in weights])


@pytest.mark.parametrize('mode', ['eval', 'train'])
@pytest.mark.parametrize('name', NETS)
def test_network_equals_the_recorded_one(name, mode):
    case, (model, rules) = golden.load(name), network(name)
    model.train(mode == 'train')
    x = case['in/x'].double().requires_grad_()
    taps = {key: TAPS[key[len(f'out/{mode}/tap_'):].removesuffix('_meanT')] for key in case
            if key.startswith(f'out/{mode}/tap_')}
    with golden.recorded_spikes(model) as spikes, FeatureRecorder(model, list(taps.values())) as recorder:
        logits = model(x).mean(0)
    golden.assert_spikes_equal(spikes, case, mode)
    torch.testing.assert_close(logits, case[f'out/{mode}/logits'], rtol=1e-5, atol=1e-5)
    assert taps
    for key, path in taps.items():
        torch.testing.assert_close(time_mean(recorder.features[path]), case[key].double(), rtol=5e-5, atol=5e-5)
    if mode == 'train':
        check_gradients(model, rules, case, logits, x)


def check_gradients(model, rules, case, logits, x):
    (logits * case['in/grad_out/logits']).sum().backward()
    np.testing.assert_allclose([x.grad.norm().item(), x.grad.sum().item()], case['grad_all/x_l2_sum'], rtol=1e-4)
    parameters, state = dict(model.named_parameters()), model.state_dict()
    rounding = 1e-6 * case['grad_all/l2'].max().item()
    compared = set()
    for key, is_none, l2, total in zip(case['grad_all/keys'], case['grad_all/is_none'], case['grad_all/l2'],
                                       case['grad_all/sum']):
        name = official_keys.rename(str(key), rules)
        grad = parameters[name].grad
        assert not is_none
        compared.add(name)
        np.testing.assert_allclose(grad.norm().item(), l2.item(), rtol=1e-4, atol=rounding, err_msg=str(key))
        tolerance = 1e-4 * l2.item() * grad.numel()**0.5 + rounding
        np.testing.assert_allclose(grad.sum().item(), total.item(), rtol=1e-4, atol=tolerance, err_msg=str(key))
        if f'grad/{key}' in case and l2.item() > rounding:
            golden.assert_close(grad, case[f'grad/{key}'].view_as(grad), 1e-4, key)
    assert compared == set(parameters)
    for key, value in case.items():
        if key.startswith('out/train/after_forward/'):
            golden.assert_close(state[official_keys.rename(key[len('out/train/after_forward/'):], rules)], value, 1e-5)


@pytest.mark.parametrize('cls, arch, classes, parameters', [
    (ESpikeFormer, 't', 1000, 2_702_048), (ESpikeFormer, 's', 1000, 5_105_608), (ESpikeFormer, 'm', 1000, 10_023_112),
    (ESpikeFormer, 'l', 1000, 18_987_504), (ESpikeFormer, '12-512', 1000, 82_502_952),
    (ESpikeFormer, '12-768', 1000, 170_971_714), (MaxFormer, '10-384', 1000, 16_237_240),
    (MaxFormer, '10-512', 1000, 28_653_480), (MaxFormer, '10-768', 1000, 63_992_200), (MaxFormer, '4-384', 10, 6_568_282),
    (MaxFormer, '4-384', 100, 6_602_932), (MaxResNet, 18, 100, 12_548_260)])
def test_network_has_the_published_number_of_parameters(cls, arch, classes, parameters):
    with torch.device('meta'):
        net = cls(arch=arch, T=1, neuron=SFA)
    settings = net.arch_settings[arch]
    channels = settings.get('widths', settings.get('channels'))
    channels = channels if isinstance(channels, int) else channels[-1]
    assert sum(p.numel() for p in net.parameters()) + (channels + 1) * classes == parameters
