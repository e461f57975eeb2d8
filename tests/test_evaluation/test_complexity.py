"""Counted cost of small networks against a calculation by hand."""
from mmengine.config import Config

import golden
from bkdsnn import get_model
from bkdsnn.evaluation import input_shape_of, measure_complexity
from helpers import DEMO, run_tool, tiny_student

CONFIG = dict(model=tiny_student(widths=(4, 8)))


def test_macs_are_those_counted_by_hand():
    """Stem 1 -> 4 once for two time steps; the rest twice."""
    found = measure_complexity(Config(CONFIG), (1, 8, 8))
    stem = 64 * 1 * 4 * 9
    layer1 = 2 * 64 * 4 * 4 * 9
    layer2 = 16 * (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8)
    head = 8 * 10
    assert found.macs == stem + 2 * (layer1 + layer2 + head)
    weights = 1 * 4 * 9 + 2 * 4 * 4 * 9 + 4 * 8 * 9 + 8 * 8 * 9 + 4 * 8 + 8 * 10
    assert found.parameters == weights + 2 * (4 + 4 + 4 + 8 + 8 + 8) + 10


def test_attention_counts_both_products():
    arch = dict(depth=1, channels=16, num_heads=2, patch_size=4)
    backbone = dict(type='Spikingformer', arch=arch, T=2, neuron=golden.LIF, in_channels=1)

    def macs(size):
        model = dict(CONFIG['model'], backbone=backbone, head=dict(CONFIG['model']['head'], in_channels=16))
        return measure_complexity(Config(dict(model=model)), (1, size, size)).macs

    def without_attention(size):
        conv = size**2 * (2 * 4 + 4 * 8) * 9 * 2 + size**2 * 1 * 2 * 9 + (size // 2)**2 * 8 * 16 * 9 * 2
        conv += (size // 4)**2 * (16 * 16 * 9 + 16 * 16 * 4 + 2 * 16 * 64) * 2
        return conv + 2 * 160

    tokens = 4
    assert macs(8) - without_attention(8) == 2 * 2 * min(tokens * tokens * 8, tokens * 8 * 8) * 2


def test_input_shape_is_found_in_the_config():
    assert input_shape_of(Config(dict(model=dict(input_shape=(3, 8, 8))))) == (3, 8, 8)
    views = dict(student=(4, 2, 8, 8), teacher=(16, 2, 8, 8))
    assert input_shape_of(Config(dict(model=dict(input_shape=views)))) == (4, 2, 8, 8)
    pipeline = [dict(type='mmpretrain.Resize', scale=32), dict(type='mmpretrain.PackInputs')]
    cfg = dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=pipeline)))
    assert input_shape_of(Config(cfg)) == (3, 32, 32)
    assert input_shape_of(Config(dict(cfg, image_shape=(1, 32, 32)))) == (1, 32, 32)


def test_networks_that_need_values_to_be_built_are_counted_too():
    found = measure_complexity(Config.fromfile(DEMO / 'teacher.py'), (1, 8, 8))
    assert found.parameters == sum(p.numel() for p in get_model('demo/teacher').parameters())
    # The stem and two stages of two blocks at 32 channels; see the model's config for the rest.
    stem, layer1 = 64 * 32 * 9, 4 * 64 * 32 * 32 * 9
    layer2, layer3 = (pixels * width * (width // 2 * 10 + 3 * width * 9) for pixels, width in ((16, 64), (4, 128)))
    assert found.macs == stem + layer1 + layer2 + layer3 + 128 * 10


def test_tool_prints_the_published_size_and_asks_for_a_missing_shape(tmp_path):
    done = run_tool('tools/analysis_tools/get_flops.py', 'configs/bkd/spikingformer_imagenet.py')
    assert 'Parameters: 16,816,024' in done.stdout, done.stderr
    (tmp_path / 'config.py').write_text(f'_base_ = [{str(DEMO / "plain.py")!r}]\nimage_shape = None\n')
    done = run_tool('tools/analysis_tools/get_flops.py', tmp_path / 'config.py')
    assert done.returncode == 1 and '--shape C H W' in done.stderr
