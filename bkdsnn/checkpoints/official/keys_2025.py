"""Names of weights of E-SpikeFormer, Max-Former and Max-ResNet, and what they are called here."""
import re
from typing import List

from .keys import Rules

ATTENTION = (('q', 'query'), ('k', 'key'), ('v', 'value'), ('proj', 'project'))
MLP = (('1', 'expand'), ('2', 'reduce'))


def _stage_of(name: str) -> str:
    """Of an E-SpikeFormer's block list: place among our stages, with the block's number."""
    return {'ConvBlock1_1': '0.0', 'ConvBlock1_2': '1.0', 'ConvBlock2_1': '2.0', 'ConvBlock2_2': '2.1'}[name]


def e_spikeformer_rules(keys: List[str]) -> Rules:
    """Rules of E-SpikeFormer; the large networks have blocks of their own kind."""
    is_large = any(re.fullmatch(r'ConvBlock1_1\.0\.conv1\.0\.0\.weight', key) for key in keys)
    rules = []
    for i, name in enumerate(('1_1', '1_2', '2', '3', '4')):
        rules += [(rf'downsample{name}\.encode_conv\.(.*)', rf'backbone.downsamples.{i}.conv.\1'),
                  (rf'downsample{name}\.encode_bn\.(.*)', rf'backbone.downsamples.{i}.norm.\1')]
    for name in ('ConvBlock1_1', 'ConvBlock1_2', 'ConvBlock2_1', 'ConvBlock2_2'):
        ours = f'backbone.stages.{_stage_of(name)}'
        rules += _separable(rf'{name}\.0\.Conv', f'{ours}.separable', group=1)
        for j in range(2):
            rules += [(rf'{name}\.0\.conv{j + 1}\.(?:0\.0\.)?(weight|bias)', rf'{ours}.dense.{j}.conv.\1'),
                      (rf'{name}\.0\.(?:bn{j + 1}|conv{j + 1}\.0\.1)\.(.*)', rf'{ours}.dense.{j}.norm.\1')]
    for block, stage in (('block3', 3), ('block4', 4)):
        theirs, ours = rf'{block}\.(\d+)', rf'backbone.stages.{stage}.\1'
        rules += _large(theirs, ours) if is_large else _separable(rf'{theirs}\.conv', f'{ours}.separable', group=2)
        attention, mlp = ('residual.attention.0', 'residual.mlp.0') if is_large else ('attention', 'mlp')
        for old, new in ATTENTION:
            rules += [(rf'{theirs}\.attn\.{old}_conv\.0\.(weight)', rf'{ours}.{attention}.{new}.conv.\2'),
                      (rf'{theirs}\.attn\.{old}_conv\.1\.(.*)', rf'{ours}.{attention}.{new}.norm.\2')]
        for old, new in MLP:
            rules += [(rf'{theirs}\.mlp\.fc{old}_conv\.(.*)', rf'{ours}.{mlp}.{new}.conv.\2'),
                      (rf'{theirs}\.mlp\.fc{old}_bn\.(.*)', rf'{ours}.{mlp}.{new}.norm.\2')]
    return (*rules, (r'head_kd\.(.*)', r'head.distilled.\1'), (r'head\.(.*)', r'head.fc.\1'))


def _separable(theirs: str, ours: str, group: int) -> list:
    rules = []
    for j, name in enumerate(('pwconv1', 'dwconv', 'pwconv2')):
        rules += [(rf'{theirs}\.{name}\.0\.(.*)', rf'{ours}.{j}.conv.\{group}'),
                  (rf'{theirs}\.{name}\.1\.(.*)', rf'{ours}.{j}.norm.\{group}')]
    return rules


def _large(theirs: str, ours: str) -> list:
    rules = [(rf'{theirs}\.rep_conv\.conv1\.([01])\.(.*)', rf'{ours}.conv.conv.\2.\3'),
             (rf'{theirs}\.rep_conv\.conv2\.0\.(.*)', rf'{ours}.conv.conv.2.\2'),
             (rf'{theirs}\.rep_conv\.conv2\.1\.(.*)', rf'{ours}.conv.norm.\2'),
             (rf'{theirs}\.layer_scale1', rf'{ours}.residual.attention.1.weight'),
             (rf'{theirs}\.layer_scale2', rf'{ours}.residual.mlp.1.weight')]
    for old, new in ATTENTION:
        unit = rf'{ours}.residual.attention.0.{new}.conv'
        rules += [(rf'{theirs}\.attn\.{old}_conv\.0\.conv{i + 1}\.{j}\.(.*)', rf'{unit}.{2 * i + j}.\2')
                  for i in range(2) for j in range(2)]
    return rules


def maxformer_rules(keys: List[str]) -> Rules:
    """Rules of Max-Former; its ImageNet and CIFAR code number the units of the first embedding differently."""
    is_imagenet = any(key.startswith('patch_embed1.embed3.') for key in keys)
    first = (('embed1', 'stem'), ('embed2', 'units.0'), ('embed3', 'units.1'), ('embed4', 'shortcut'))
    if not is_imagenet:
        first = (('embed1', 'units.0'), ('embed2', 'shortcut'))
    later = (('max_embed1', 'units.0'), ('embed1', 'units.1'), ('max_embed2', 'shortcut'))
    rules = [(r'patch_embed1\.proj_conv\.(.*)', r'backbone.embeddings.0.stem.conv.\1'),
             (r'patch_embed1\.proj_bn\.(.*)', r'backbone.embeddings.0.stem.norm.\1')]
    for i in range(3):
        for old, new in later if i else first:
            rules += [(rf'patch_embed{i + 1}\.{old}\.embed_conv\.(.*)', rf'backbone.embeddings.{i}.{new}.conv.\1'),
                      (rf'patch_embed{i + 1}\.{old}\.embed_bn\.(.*)', rf'backbone.embeddings.{i}.{new}.norm.\1')]
        theirs, ours = rf'stage{i + 1}\.(\d+)', rf'backbone.stages.{i}.\1'
        names = [(rf'attn\.{old}', f'attention.{new}') for old, new in ATTENTION]
        names += [(rf'mlp\.fc{old}', f'mlp.{new}') for old, new in MLP]
        for old, new in names:
            rules += [(rf'{theirs}\.{old}_conv\.(.*)', rf'{ours}.{new}.conv.\2'),
                      (rf'{theirs}\.{old}_bn\.(.*)', rf'{ours}.{new}.norm.\2')]
        rules += [(rf'{theirs}\.mixer\.conv5?\.(.*)', rf'{ours}.mixer.conv.\2'),
                  (rf'{theirs}\.mixer\.conv5?_bn\.(.*)', rf'{ours}.mixer.norm.\2')]
    return (*rules, (r'head\.(.*)', r'head.fc.\1'))


def max_resnet_rules(keys: List[str]) -> Rules:
    """Rules of Max-ResNet."""
    rules = [(r'conv1\.(.*)', r'backbone.stem.conv.\1'), (r'bn1\.(.*)', r'backbone.stem.norm.\1')]
    for i in range(3):
        theirs, ours = rf'layer{i + 1}\.(\d+)', rf'backbone.stages.{i}.\1'
        for j in range(2):
            rules += [(rf'{theirs}\.conv{j + 1}\.(.*)', rf'{ours}.units.{j}.conv.\2'),
                      (rf'{theirs}\.bn{j + 1}\.(.*)', rf'{ours}.units.{j}.norm.\2')]
        rules += [(rf'{theirs}\.downsample\.1\.(.*)', rf'{ours}.downsample.conv.\2'),
                  (rf'{theirs}\.downsample\.2\.(.*)', rf'{ours}.downsample.norm.\2')]
    return (*rules, (r'fc1\.(.*)', r'head.fc.\1'))
