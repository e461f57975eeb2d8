"""Operations, firing rates and energy against calculations by hand."""
import itertools
import json

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import golden
from bkdsnn import get_model
from bkdsnn.apis.evaluate import build_loader, spread_samples
from bkdsnn.evaluation import measure_complexity, measure_synops
from bkdsnn.evaluation.activity import ActivityCounter, fan_out_sum
from bkdsnn.evaluation.energy import rates_by_stage
from bkdsnn.evaluation.synops import prepare
from bkdsnn.models.distillers import FeatureRecorder
from bkdsnn.models.layers import attend, over_time
from bkdsnn.models.neurons import IFNode
from bkdsnn.registry import MODELS
from helpers import lively, tiny_student

MAC, AC = 4.6e-12, 0.9e-12


class OnFrames(nn.Module):
    """A layer on every frame of (B, T, ...)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.eval()

    def forward(self, frames):
        return over_time(self.layer, frames.transpose(0, 1))


def frames_with(*spikes, shape=(1, 2, 1, 4, 4)):
    """Frames of zeros but for values at (t, y, x)."""
    frames = torch.zeros(shape)
    for (t, y, x), value in spikes:
        frames[0, t, 0, y, x] = value
    return frames


def only(cost):
    (layer, ) = cost
    return layer


def test_spikes_of_a_padded_convolution_reach_as_many_outputs_as_the_border_leaves():
    """A corner reaches 4 of 9, an edge 6, the middle 9; the rate formula takes 9 for each."""
    frames = frames_with(((0, 0, 0), 1), ((0, 0, 2), 1), ((1, 1, 1), 1))
    layer = only(measure_synops(OnFrames(nn.Conv2d(1, 5, 3, padding=1)), [frames]))
    assert (layer.name, layer.kind, layer.input) == ('layer', 'conv', 'spikes')
    assert layer.macs == 2 * 16 * 5 * 9
    assert layer.firing_rate == layer.nonzero == 3 / 32
    assert layer.synops == pytest.approx(3 / 32 * layer.macs) and layer.synops == pytest.approx(3 * 5 * 9)
    assert layer.synops_exact == 5 * (4 + 6 + 9)
    assert layer.energy == pytest.approx(AC * 3 * 5 * 9)


def test_integers_accumulate_as_often_as_they_say():
    """As after SEW-ADD; an energy that takes them for numbers to multiply stands beside it."""
    frames = frames_with(((0, 1, 1), 3), ((1, 2, 2), 1))
    cost = measure_synops(OnFrames(nn.Conv2d(1, 5, 3)), [frames])
    layer = only(cost)
    assert layer.input == 'integers' and layer.accumulates
    assert layer.firing_rate == 4 / 32 and layer.nonzero == 2 / 32
    # Without padding, each of the inner pixels reaches all 2 x 2 outputs.
    assert layer.synops_exact == 5 * 4 * 4
    assert cost.energy == pytest.approx(AC * 4 / 32 * layer.macs)
    assert cost.energy_binary_only == pytest.approx(MAC * layer.macs) and layer.macs == 2 * 4 * 5 * 9


def test_one_real_number_in_one_sample_makes_a_layer_multiply():
    spikes, real = frames_with(((0, 1, 1), 1)), frames_with(((0, 1, 1), 0.5))
    cost = measure_synops(OnFrames(nn.Conv2d(1, 5, 3)), [spikes, real])
    layer = only(cost)
    assert layer.input == 'real' and not layer.accumulates
    assert layer.firing_rate is None and layer.synops == layer.synops_exact == cost.synops == 0
    assert layer.nonzero == 1 / 32
    assert cost.energies == [MAC * layer.macs] * 2
    assert cost.multiplied == cost.macs == 2 * 4 * 5 * 9


def test_a_static_image_is_multiplied_whatever_its_pixels():
    layer = only(measure_synops(nn.Conv2d(1, 5, 3).eval(), [torch.ones(2, 1, 4, 4)]))
    assert layer.input == 'image' and layer.energy == MAC * 4 * 5 * 9


def test_linear_layers_accumulate_a_row_of_weights_per_spike():
    spikes = torch.tensor([[[1., 0, 1], [0, 0, 1]]])
    for bias in (True, False):
        layer = only(measure_synops(OnFrames(nn.Linear(3, 7, bias=bias)), [spikes]))
        assert (layer.kind, layer.macs, layer.synops, layer.synops_exact) == ('linear', 42, 21, 21)


@pytest.mark.parametrize('options', [
    dict(stride=2), dict(stride=2, padding=1), dict(groups=2, padding=1), dict(dilation=2, padding=1),
    dict(kernel_size=(1, 3), padding=(0, 1)), dict(stride=3, padding=2, groups=4)])
def test_exact_counts_are_those_of_a_loop_over_all_outputs(options):
    conv = nn.Conv2d(4, 8, **dict(dict(kernel_size=3), **options))
    x = torch.randint(0, 3, (2, 4, 6, 7)).float()
    (height, width), outputs = conv(x).shape[-2:], 0
    places = itertools.product(range(height), range(width), *map(range, conv.kernel_size))
    for row, column, i, j in places:
        y = row * conv.stride[0] - conv.padding[0] + i * conv.dilation[0]
        z = column * conv.stride[1] - conv.padding[1] + j * conv.dilation[1]
        if 0 <= y < 6 and 0 <= z < 7:
            outputs += x[:, :, y, z].sum().item() * 8 // conv.groups
    found = measure_synops(OnFrames(conv), [x.unsqueeze(0)])
    assert only(found).synops_exact == outputs
    assert found.macs == 2 * 8 * height * width * 4 // conv.groups * conv.weight[0, 0].numel()


def test_exact_counts_of_transposed_and_one_dimensional_convolutions():
    x = torch.zeros(1, 4, 3, 3)
    x[0, 1, 0, 0] = x[0, 2, 1, 1] = 1
    weight = torch.randn(4, 5, 2, 2)
    arguments = ([2, 2], [1, 1], [1, 1], True, [0, 0])
    # The corner's four outputs lose three to the padding.
    assert fan_out_sum(x, weight, *arguments, 1) == 5 * (1 + 4)
    assert fan_out_sum(x, weight, *arguments, 2) == 5 * (1 + 4)
    line = torch.tensor([[[1., 0, 0, 2]]])
    assert fan_out_sum(line, torch.randn(6, 1, 3), [1], [1], [1], False, [0], 1) == 6 * (2 + 2 * 2)


def test_attention_accumulates_for_the_rarer_of_key_and_value_and_for_the_query():
    """As the authors of Spikingformer count: MACs x (min(key, value) + query)."""

    class Attend(nn.Module):

        def forward(self, frames):
            return attend(*frames.transpose(0, 1).chunk(3, 2), num_heads=2, scale=0.125)

    rates = torch.tensor([0.6, 0.2, 0.4]).repeat_interleave(8).view(1, 1, 24, 1, 1)
    frames = (torch.rand(3, 2, 24, 4, 4) < rates).float()
    query, key, value = (part.mean().item() for part in frames.chunk(3, 2))
    cost = measure_synops(Attend().eval(), [frames])
    macs = 2 * 2 * 16 * 4 * 4  # steps, heads, tokens, channels of a head squared
    assert [layer.name for layer in cost] == [':product1', ':product2']
    assert [layer.macs for layer in cost] == [macs, macs]
    assert key < value < query
    assert cost.layers[0].synops == pytest.approx(key * macs)
    assert cost.layers[1].synops == pytest.approx(query * macs)
    assert all(layer.synops == layer.synops_exact and layer.input == 'spikes' for layer in cost)


def test_layers_of_a_spiking_transformer_are_named_and_add_up_to_its_macs():
    backbone = dict(type='Spikingformer', arch=dict(depth=1, channels=16, num_heads=2, patch_size=4), T=2,
                    neuron=golden.LIF, in_channels=1)
    cfg = Config(dict(model=dict(tiny_student(widths=(16, )), backbone=backbone)))
    model = MODELS.build(cfg.model).eval()
    cost = measure_synops(model, [torch.randn(2, 1, 16, 16)])
    assert cost.macs == measure_complexity(cfg, (1, 16, 16)).macs
    names = [layer.name for layer in cost]
    assert names[0] == 'backbone.tokenizer.0.conv' and names[-1] == 'head.fc'
    assert {'backbone.blocks.0.attention:product1', 'backbone.blocks.0.attention:product2'} < set(names)
    assert {layer.name for layer in cost.neurons} == {
        path for path, module in model.named_modules() if isinstance(module, type(model.backbone.tokenizer[1].neuron))}


@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_a_vision_transformer_is_counted_with_the_products_of_its_fused_attention(library):
    if library == 'torchvision':
        from torchvision.models import VisionTransformer
        model = VisionTransformer(image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=32, mlp_dim=64,
                                  num_classes=10)
    else:
        from timm.models import VisionTransformer
        model = VisionTransformer(img_size=32, patch_size=16, depth=1, num_heads=2, embed_dim=32, mlp_ratio=2,
                                  num_classes=10)
    cost = measure_synops(model.eval(), [torch.randn(2, 3, 32, 32)])
    tokens, width = 5, 32
    linear = tokens * width * (3 * width + width + 2 * 64) + width * 10
    assert cost.macs == 4 * 3 * 16 * 16 * width + linear + 2 * tokens * tokens * width
    assert sum(layer.kind == 'product' for layer in cost) == 2
    assert cost.energy == pytest.approx(MAC * cost.macs) and not cost.neurons and cost.time_steps is None
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize('kind', ['PSNNode', 'SlidingPSNNode'])
@pytest.mark.parametrize('backend', ['eager', 'compile'])
def test_a_parallel_neurons_product_over_time_costs_nothing_whether_or_not_it_is_compiled(kind, backend):
    neuron = dict(type=kind, surrogate=dict(type='ATan', alpha=2.0), backend=backend)
    neuron.update(dict(k=2) if kind == 'SlidingPSNNode' else dict(T=2))
    cfg = tiny_student(neuron=neuron)
    found = measure_synops(MODELS.build(cfg).eval(), [torch.rand(3, 1, 8, 8)])
    assert not any('neuron' in layer.name for layer in found) and len(found.neurons) > 4
    whole = measure_complexity(Config(dict(model=cfg)), (1, 8, 8)).macs
    assert found.macs == whole == measure_complexity(Config(dict(model=tiny_student())), (1, 8, 8)).macs


def test_dead_and_saturated_neurons_are_found():
    """Four channels of two neurons: dead, saturated, one of each, and firing every second step."""
    current = torch.tensor([[0, 0], [1, 1], [0, 1], [0.5, 0.5]]).view(1, 1, 4, 1, 2).expand(3, 4, -1, -1, -1)

    class Net(nn.Module):

        def __init__(self):
            super().__init__()
            self.node = IFNode(**{k: v for k, v in golden.IF.items() if k != 'type'})
            self.fc = nn.Linear(8, 2)

        def forward(self, frames):
            return self.fc(self.node(frames.transpose(0, 1)).flatten(2))

    cost = measure_synops(Net().eval(), [current])
    (layer, ) = cost.neurons
    assert (layer.name, layer.neurons, layer.channels) == ('node', 8, 4)
    assert (layer.dead, layer.saturated) == (3, 3)
    assert (layer.dead_channels, layer.saturated_channels) == ([0], [1])
    assert layer.firing_rate == cost.firing_rate == (3 * 1 + 2 * 0.5) / 8
    assert cost.time_steps == 4 and cost.samples == 3
    assert only(cost).firing_rate == layer.firing_rate


def digits(model, number):
    return [prepare(model, batch) for batch in spread_samples(build_loader(model.cfg), number)]


def test_energy_of_the_demo_student_is_that_calculated_by_hand():
    """configs/demo/plain.py layer by layer: 8x8, 4x4 and 2x2 maps of 16, 32 and 64 channels, two time steps."""
    student = lively('demo/plain')
    images = digits(student, 12)
    paths = ['stem', 'layer1.0.unit1', 'layer1.0.unit2', 'layer2.0.unit1', 'layer2.0.unit2', 'layer2.0.downsample',
             'layer3.0.unit1']
    with torch.no_grad(), FeatureRecorder(student, [f'backbone.{path}.neuron' for path in paths]) as recorder:
        student(torch.cat(images))
    stem, unit11, unit12, unit21, unit22, down2, unit31 = recorder.features.values()
    layer1, layer2 = unit12 + stem, unit22 + down2  # SEW-ADD: integers
    by_hand = {
        'stem.conv': MAC * 8 * 8 * 1 * 16 * 9,  # once for both steps
        'layer1.0.unit1.conv': AC * stem.mean() * 2 * 8 * 8 * 16 * 16 * 9,
        'layer1.0.unit2.conv': AC * unit11.mean() * 2 * 8 * 8 * 16 * 16 * 9,
        'layer2.0.unit1.conv': AC * layer1.mean() * 2 * 4 * 4 * 16 * 32 * 9,
        'layer2.0.unit2.conv': AC * unit21.mean() * 2 * 4 * 4 * 32 * 32 * 9,
        'layer2.0.downsample.conv': AC * layer1.mean() * 2 * 4 * 4 * 16 * 32,
        'layer3.0.unit1.conv': AC * layer2.mean() * 2 * 2 * 2 * 32 * 64 * 9,
        'layer3.0.unit2.conv': AC * unit31.mean() * 2 * 2 * 2 * 64 * 64 * 9,
        'layer3.0.downsample.conv': AC * layer2.mean() * 2 * 2 * 2 * 32 * 64,
    }
    by_hand = {f'backbone.{name}': float(energy) for name, energy in by_hand.items()}
    by_hand['head.fc'] = MAC * 2 * 64 * 10  # reads the mean over space, real numbers
    assert min(by_hand.values()) > 0 and layer1.max() == layer2.max() == 2
    cost = measure_synops(student, images)
    assert {layer.name: layer.energy for layer in cost} == pytest.approx(by_hand, rel=1e-5)
    assert cost.energy == pytest.approx(sum(by_hand.values()), rel=1e-5)
    assert {layer.name for layer in cost if layer.input == 'integers'} == {
        f'backbone.layer{i}.0.{unit}.conv' for i in (2, 3) for unit in ('unit1', 'downsample')}
    assert cost.macs == measure_complexity(student.cfg, (1, 8, 8)).macs
    rates = dict(rates_by_stage(cost.neurons))
    assert rates['backbone.stem'] == pytest.approx(stem.mean().item())
    assert rates['backbone.layer1'] == pytest.approx((unit11.mean() + unit12.mean()).item() / 2)


def test_energy_of_the_demo_teacher_is_that_calculated_by_hand():
    """configs/demo/teacher.py: two blocks of two 3x3 convolutions for each of 8x8x32, 4x4x64 and 2x2x128."""
    teacher = lively('demo/teacher')
    macs = 8 * 8 * 32 * 9
    macs += 4 * 8 * 8 * 32 * 32 * 9
    macs += 4 * 4 * 32 * 64 * 9 + 3 * 4 * 4 * 64 * 64 * 9 + 4 * 4 * 32 * 64
    macs += 2 * 2 * 64 * 128 * 9 + 3 * 2 * 2 * 128 * 128 * 9 + 2 * 2 * 64 * 128
    macs += 128 * 10
    cost = measure_synops(teacher, digits(teacher, 3))
    assert cost.macs == cost.multiplied == macs
    assert cost.energy == pytest.approx(4.6e-12 * macs)
    assert cost.energies == pytest.approx([4.6e-12 * macs] * 3)
    with FlopCounterMode(display=False) as counter:
        teacher(torch.zeros(1, 1, 8, 8))
    assert counter.get_total_flops() == 2 * macs


def test_samples_are_measured_one_by_one_and_their_order_does_not_matter():
    student = lively('demo/plain')
    images = torch.cat(digits(student, 5))
    cost = measure_synops(student, [images[:3], images[3:]])
    assert len(cost.energies) == cost.samples == 5 and len(set(cost.energies)) > 1
    assert sum(cost.energies) / 5 == pytest.approx(cost.energy)
    assert measure_synops(student, [images[2:3]]).energy == pytest.approx(cost.energies[2])
    assert measure_synops(student, [images.flip(0)]).energies == pytest.approx(cost.energies[::-1])


def test_a_batch_of_a_data_loader_is_preprocessed():
    student = lively('demo/plain')
    batch = next(iter(spread_samples(build_loader(student.cfg), 1)))
    assert measure_synops(student, [batch]).energies == measure_synops(student, digits(student, 1)).energies


def test_results_go_to_json_and_back():
    cost = measure_synops(lively('demo/plain'), [torch.randn(2, 1, 8, 8)])
    read = json.loads(json.dumps(cost.to_dict(), allow_nan=False))
    assert read['energy'] == cost.energy and read['samples'] == 2 and read['time_steps'] == 2
    assert [layer['name'] for layer in read['layers']] == [layer.name for layer in cost]
    assert read['layers'][0]['firing_rate'] is None
    assert read['neurons'][0]['dead_channels'] == cost.neurons[0].dead_channels


def test_counting_changes_nothing_and_leaves_nothing_behind():
    student = lively('demo/plain')
    images = torch.randn(2, 1, 8, 8)
    expected = student(images)
    with ActivityCounter(student) as counter:
        assert torch.equal(student(images), expected)
        with pytest.raises(RuntimeError):
            student(torch.randn(2, 3, 8, 8))
        assert torch.equal(student(images), expected)
    counted = len(counter.operations)
    student(images)
    assert len(counter.operations) == counted == 10 and counter.samples == 6
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in student.modules())


def test_bad_input_is_named():
    student = get_model('demo/plain')
    with pytest.raises(ValueError, match='eval mode'):
        measure_synops(get_model('demo/plain').train(), [torch.randn(1, 1, 8, 8)])
    with pytest.raises(ValueError, match='at least one sample'):
        measure_synops(student, [])
    with pytest.raises(ValueError, match=r"'backbone.stem.neuron' have shape \(16, 9, 9\) and had \(16, 8, 8\)"):
        measure_synops(student, [torch.randn(1, 1, 8, 8), torch.randn(1, 1, 9, 9)])
