"""E-SpikeFormer and Max-Former against the numbers recorded from their authors' code, in float64."""
import numpy as np
import pytest
import torch

import golden
from bkdsnn.checkpoints.files import fit_weights
from bkdsnn.checkpoints.official import keys as official_keys
from bkdsnn.checkpoints.official.models import FAMILIES, convert_official
from bkdsnn.models import ESpikeFormer, FeatureRecorder, MaxFormer, MaxResNet, time_mean
from bkdsnn.registry import MODELS

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
    fit_weights(model, converted.weights, 'the recording')
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


def conv(key, out, inside, size=1, bias=False, axes=2):
    weights = {f'{key}.weight': torch.randn(out, inside, *[size] * axes)}
    return dict(weights, **{f'{key}.bias': torch.randn(out)}) if bias else weights


def norm(key, channels):
    weights = {f'{key}.{name}': torch.rand(channels) for name in ('weight', 'bias', 'running_mean', 'running_var')}
    return dict(weights, **{f'{key}.num_batches_tracked': torch.tensor(0)})


def factorised(key, inside, middle, out):
    return {**conv(f'{key}.conv1.0', middle, inside, axes=1), **norm(f'{key}.conv1.1', middle),
            **conv(f'{key}.conv2.0', out, middle, axes=1), **norm(f'{key}.conv2.1', out)}


def large_e_spikeformer(channels, has_conv, is_distilled):
    """A checkpoint with the authors' names, as their code builds it."""
    weights, before = {}, 3
    for name, width in zip(('1_1', '1_2', '2', '3'), channels):
        weights.update(**conv(f'downsample{name}.encode_conv', width, before, 7 if before == 3 else 3, bias=True),
                       **norm(f'downsample{name}.encode_bn', width))
        before = width
    for name, width in zip(('1_1', '1_2', '2_1', '2_2'), (*channels[:3], channels[2])):
        block = f'ConvBlock{name}.0'
        for i, (out, inside) in enumerate(((4 * width, width), (width, 4 * width)), 1):
            weights.update(**conv(f'{block}.conv{i}.0.0', out, inside, 3, bias=True),
                           **norm(f'{block}.conv{i}.0.1', out))
    c = channels[3]
    if has_conv:
        weights.update(factorised('block3.0.rep_conv', c, c, c))
    for name in ('q', 'k', 'v', 'proj'):
        weights.update(**factorised(f'block3.0.attn.{name}_conv.0', c, int(1.5 * c), c),
                       **norm(f'block3.0.attn.{name}_conv.1', c))
    weights.update(**conv('block3.0.mlp.fc1_conv', 4 * c, c, bias=True, axes=1), **norm('block3.0.mlp.fc1_bn', 4 * c),
                   **conv('block3.0.mlp.fc2_conv', c, 4 * c, bias=True, axes=1), **norm('block3.0.mlp.fc2_bn', c))
    weights.update({'block3.0.layer_scale1': torch.rand(c), 'block3.0.layer_scale2': torch.rand(c)})
    heads = ('head', 'head_kd') if is_distilled else ('head', )
    return {**weights, **{key: value for head in heads for key, value in conv(head, 10, c, bias=True, axes=0).items()}}


@pytest.mark.parametrize('has_conv, is_distilled', [(True, True), (False, True), (True, False)])
def test_checkpoints_of_the_large_e_spikeformers_convert(has_conv, is_distilled):
    weights = large_e_spikeformer((4, 8, 8, 16), has_conv, is_distilled)
    converted = convert_official(weights, arch=dict(num_heads=4))
    backbone, head = converted.model['backbone'], converted.model['head']
    assert backbone['arch']['kind'] == ('factorised-conv' if has_conv else 'factorised') and backbone['T'] == 1
    assert backbone['neuron'] == dict(SFA, half_up=True) and not converted.ignored
    assert head['type'] == ('SpikingDistillationHead' if is_distilled else 'SpikingLinearHead')
    model = MODELS.build(converted.model)
    fit_weights(model, converted.weights, 'it')
    assert sum(p.numel() for p in model.parameters()) == sum(
        value.numel() for key, value in weights.items() if 'running' not in key and 'tracked' not in key)
    features = [torch.randn(1, 2, 16, 3, 3)]
    want = model.head.train()(features)
    torch.testing.assert_close(want, features[0].mean((-2, -1)) @ weights['head.weight'].T + weights['head.bias'])
    if is_distilled:
        integers = (features[0].mean((-2, -1)).clamp(0, 4) + 0.5).floor()
        other = integers @ weights['head_kd.weight'].T + weights['head_kd.bias']
        torch.testing.assert_close(model.head.eval()(features), (want + other) / 2)


def test_checkpoints_of_max_resnet_convert():
    weights = {**conv('conv1', 8, 3, 3), **norm('bn1', 8), **conv('fc1', 10, 32, bias=True, axes=0)}
    before = 8
    for i, width in enumerate((16, 24, 32)):
        block = f'layer{i + 1}.0'
        weights.update(**conv(f'{block}.conv1', width, before, 3), **norm(f'{block}.bn1', width),
                       **conv(f'{block}.conv2', width, width, 3), **norm(f'{block}.bn2', width),
                       **conv(f'{block}.downsample.1', width, before), **norm(f'{block}.downsample.2', width))
        before = width
    converted = convert_official(weights)
    assert converted.family == 'max_resnet'
    assert converted.model['backbone']['arch'] == dict(layers=(1, 1, 1), widths=(16, 24, 32), stem=8)
    model = MODELS.build(converted.model)
    fit_weights(model, converted.weights, 'it')
    assert model(torch.randn(2, 3, 16, 16)).shape == (4, 2, 10)


@pytest.mark.parametrize('cls, arch, classes, parameters', [
    (ESpikeFormer, 't', 1000, 2_702_048), (ESpikeFormer, 's', 1000, 5_105_608), (ESpikeFormer, 'm', 1000, 10_023_112),
    (ESpikeFormer, 'l', 1000, 18_987_504), (ESpikeFormer, '12-512', 1000, 82_502_952),
    (ESpikeFormer, '12-768', 1000, 170_971_714), (MaxFormer, '10-384', 1000, 16_237_240),
    (MaxFormer, '10-512', 1000, 28_653_480), (MaxFormer, '10-768', 1000, 63_992_200),
    (MaxFormer, '4-384', 10, 6_568_282), (MaxFormer, '4-384', 100, 6_602_932), (MaxResNet, 18, 100, 12_548_260)])
def test_network_has_the_published_number_of_parameters(cls, arch, classes, parameters):
    with torch.device('meta'):
        net = cls(arch=arch, T=1, neuron=SFA)
    settings = net.arch_settings[arch]
    channels = settings.get('widths', settings.get('channels'))
    channels = channels if isinstance(channels, int) else channels[-1]
    assert sum(p.numel() for p in net.parameters()) + (channels + 1) * classes == parameters
