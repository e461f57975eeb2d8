"""Names of weights in other people's code, and what they are called here.

A rule is ``(pattern, replacement)``; the first pattern that matches a whole canonical key renames it. A replacement
that is an :class:`Ignored` drops the key and says why.
"""
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple, Union

from torch import Tensor


@dataclass(frozen=True)
class Ignored:
    """Why a key is not converted."""

    reason: str


Rules = Tuple[Tuple[str, Union[str, Ignored]], ...]

NEVER_USED = Ignored('built by the authors, never used in their forward pass')
KD_HEAD = Ignored('second classifier of the authors\' own distillation, not part of the network here')


def canonical(key: str) -> str:
    """A key without the prefixes and containers of DDP and spikingjelly: ``a.module.0.b`` is ``a.0.b``."""
    return key.removeprefix('module.').replace('.module.', '.')


# Spikingjelly's activation_based models name conv and norm apart; the SEW authors put both into a container.
SEW_RESNET: Rules = (
    (r'conv1\.(.*)', r'backbone.stem.conv.\1'),
    (r'bn1\.(.*)', r'backbone.stem.norm.\1'),
    (r'sn1\.(.*)', r'backbone.stem.neuron.\1'),
    (r'(layer\d\.\d+)\.conv(\d)\.(?:0\.)?(weight)', r'backbone.\1.unit\2.conv.\3'),
    (r'(layer\d\.\d+)\.(?:conv(\d)\.1|bn(\d))\.(.*)', r'backbone.\1.unit\2\3.norm.\4'),
    (r'(layer\d\.\d+)\.(?:conv(\d)\.2|sn(\d))\.(w)', r'backbone.\1.unit\2\3.neuron.\4'),
    (r'(layer\d\.\d+)\.downsample\.0\.(?:0\.)?(weight)', r'backbone.\1.downsample.conv.\2'),
    (r'(layer\d\.\d+)\.downsample\.(?:0\.)?1\.(?!w$)(.*)', r'backbone.\1.downsample.norm.\2'),
    (r'(layer\d\.\d+)\.(?:downsample\.1|downsample_sn)\.(w)', r'backbone.\1.downsample.neuron.\2'),
    (r'fc\.(.*)', r'head.fc.\1'),
)


def _transformer_rules(mlp: str) -> Rules:
    """Rules of blocks ``block.N`` with 1x1 convolutions or linear layers; ``mlp`` is the prefix of the MLP's."""
    names = [(rf'attn\.{old}', f'attention.{new}') for old, new in
             (('q', 'query'), ('k', 'key'), ('v', 'value'), ('proj', 'project'))]
    names += [(rf'mlp\.{mlp}1', 'mlp.expand'), (rf'mlp\.{mlp}2', 'mlp.reduce')]
    rules = []
    for old, new in names:
        rules += [(rf'block\.(\d+)\.{old}_(?:conv|linear)\.(.*)', rf'backbone.blocks.\1.{new}.conv.\2'),
                  (rf'block\.(\d+)\.{old}_bn\.(.*)', rf'backbone.blocks.\1.{new}.norm.\2')]
    return (*rules, (r'block\.\d+\.norm[12]\..*', NEVER_USED), (r'head\.(.*)', r'head.fc.\1'))


SPIKINGFORMER: Rules = (
    (r'patch_embed\.proj_conv\.(.*)', r'backbone.tokenizer.0.conv.\1'),
    (r'patch_embed\.proj_bn\.(.*)', r'backbone.tokenizer.0.norm.\1'),
    (r'patch_embed\.(?:proj|block)(\d)_conv\.(.*)', r'backbone.tokenizer.\1.conv.\2'),
    (r'patch_embed\.(?:proj|block)(\d)_bn\.(.*)', r'backbone.tokenizer.\1.norm.\2'),
    *_transformer_rules('mlp'),
)
# The first unit is block1 in the authors' CML code and proj_conv in Spikformer's own.
SPIKFORMER: Rules = (
    (r'patch_embed\.proj_conv\.(.*)', r'backbone.tokenizer.0.conv.\1'),
    (r'patch_embed\.proj_bn\.(.*)', r'backbone.tokenizer.0.norm.\1'),
    (r'patch_embed\.proj_conv(\d)\.(.*)', r'backbone.tokenizer.\1.conv.\2'),
    (r'patch_embed\.proj_bn(\d)\.(.*)', r'backbone.tokenizer.\1.norm.\2'),
    *((rf'patch_embed\.block{i + 1}_conv\.(.*)', rf'backbone.tokenizer.{i}.conv.\1') for i in range(4)),
    *((rf'patch_embed\.block{i + 1}_bn\.(.*)', rf'backbone.tokenizer.{i}.norm.\1') for i in range(4)),
    (r'patch_embed\.rpe_conv\.(.*)', r'backbone.tokenizer.4.conv.\1'),
    (r'patch_embed\.rpe_bn\.(.*)', r'backbone.tokenizer.4.norm.\1'),
    *_transformer_rules('fc'),
)


def sew_dvs_rules(keys: List[str]) -> Rules:
    """Rules of the SEW network for events, whose keys count layers: unit where channels change, block, pool."""
    rules, stage = [], 1
    for index in sorted({int(key.split('.')[1]) for key in keys if re.match(r'conv\.\d+\.', key)}):
        is_block = any(key.startswith(f'conv.{index}.conv.') for key in keys)
        units = ((f'conv.{index}.conv.0', 'block.unit1'), (f'conv.{index}.conv.1', 'block.unit2')) if is_block else (
            (f'conv.{index}', 'widen'), )
        for old, new in units:
            old, new = re.escape(old), f'backbone.stage{stage}.{new}'
            rules += [(rf'{old}\.0\.0\.(.*)', rf'{new}.conv.\1'), (rf'{old}\.0\.1\.(.*)', rf'{new}.norm.\1'),
                      (rf'{old}\.1\.(w)', rf'{new}.neuron.\1')]
        stage += is_block
    return (*rules, (r'out\.(.*)', r'head.fc.\1'))


def qkformer_rules(keys: List[str]) -> Rules:
    """Rules of QKFormer; its ImageNet and CIFAR code number the units of the embeddings differently."""
    rules = [(r'patch_embed1\.proj_conv\.(.*)', r'backbone.stem.conv.\1'),
             (r'patch_embed1\.proj_bn\.(.*)', r'backbone.stem.norm.\1')]
    for i in range(3):
        first = 3 if i else 1
        for part, ours in (('conv', 'conv'), ('bn', 'norm')):
            rules += [(rf'patch_embed{i + 1}\.proj{first + j}_{part}\.(.*)',
                       rf'backbone.embeddings.{i}.units.{j}.{ours}.\1') for j in range(2)]
            rules += [(rf'patch_embed{i + 1}\.proj_res_{part}\.(.*)', rf'backbone.embeddings.{i}.shortcut.{ours}.\1')]
        for old, new in (('q', 'query'), ('k', 'key'), ('v', 'value'), ('proj', 'project')):
            block = rf'stage{i + 1}\.(\d+)\.(?:tssa|ssa|attn)\.{old}'
            rules += [(rf'{block}_conv\.(.*)', rf'backbone.stages.{i}.\1.attention.{new}.conv.\2'),
                      (rf'{block}_bn\.(.*)', rf'backbone.stages.{i}.\1.attention.{new}.norm.\2')]
        for old, new in (('1', 'expand'), ('2', 'reduce')):
            block = rf'stage{i + 1}\.(\d+)\.mlp\.(?:fc|mlp){old}'
            rules += [(rf'{block}_conv\.(.*)', rf'backbone.stages.{i}.\1.mlp.{new}.conv.\2'),
                      (rf'{block}_bn\.(.*)', rf'backbone.stages.{i}.\1.mlp.{new}.norm.\2')]
    return (*rules, (r'head\.(.*)', r'head.fc.\1'))


def meta_spikeformer_rules(keys: List[str]) -> Rules:
    """Rules of Meta-SpikeFormer."""
    rules = []
    for i, name in enumerate(('1_1', '1_2', '2', '3', '4')):
        rules += [(rf'downsample{name}\.encode_conv\.(.*)', rf'backbone.downsamples.{i}.conv.\1'),
                  (rf'downsample{name}\.encode_bn\.(.*)', rf'backbone.downsamples.{i}.norm.\1')]
    parts = (('Conv.pwconv1', 'separable.0.conv'), ('Conv.bn1', 'separable.0.norm'),
             ('Conv.dwconv', 'separable.1.conv.0'), ('Conv.pwconv2', 'separable.1.conv.1'),
             ('Conv.bn2', 'separable.1.norm'), ('conv1', 'dense.0.conv'), ('bn1', 'dense.0.norm'),
             ('conv2', 'dense.1.conv'), ('bn2', 'dense.1.norm'))
    for name, place in (('1_1', '0.0'), ('1_2', '1.0'), ('2_1', '2.0'), ('2_2', '2.1')):
        rules += [(rf'ConvBlock{name}\.0\.{re.escape(old)}\.(.*)', rf'backbone.stages.{place}.{new}.\1')
                  for old, new in parts]
    for block, stage in (('block3', 3), ('block4', 4)):
        ours = rf'backbone.stages.{stage}.\1'
        for old, new in (('q', 'query'), ('k', 'key'), ('v', 'value'), ('proj', 'project')):
            body = rf'{block}\.(\d+)\.attn\.{old}_conv\.0\.body'
            rules += [(rf'{body}\.0\.(.*)', rf'{ours}.attention.{new}.conv.0.\2'),
                      (rf'{body}\.1\.bn\.(.*)', rf'{ours}.attention.{new}.conv.1.norm.\2'),
                      *((rf'{body}\.2\.{j}\.(.*)', rf'{ours}.attention.{new}.conv.{2 + j}.\2') for j in range(3)),
                      (rf'{block}\.(\d+)\.attn\.{old}_conv\.1\.(.*)', rf'{ours}.attention.{new}.norm.\2')]
        for old, new in (('1', 'expand'), ('2', 'reduce')):
            rules += [(rf'{block}\.(\d+)\.mlp\.fc{old}_conv\.(.*)', rf'{ours}.mlp.{new}.conv.\2'),
                      (rf'{block}\.(\d+)\.mlp\.fc{old}_bn\.(.*)', rf'{ours}.mlp.{new}.norm.\2')]
    return (*rules, (r'head_kd\..*', KD_HEAD), (r'head\.(.*)', r'head.fc.\1'))


def rename(key: str, rules: Rules) -> Union[str, Ignored]:
    """Our name of an official key, or why it is ignored.

    Raises:
        KeyError: If no rule knows the key.
    """
    key = canonical(key)
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, key)
        if match:
            return replacement if isinstance(replacement, Ignored) else match.expand(replacement)
    raise KeyError(f'official key {key!r} is not known')


def convert(weights: Dict[str, Tensor], rules: Rules, ignored: Optional[Dict[str, str]] = None) -> Dict[str, Tensor]:
    """Official weights under our names; linear layers and 1-d convolutions over tokens become 1x1 convolutions.

    Args:
        weights: Official weights.
        rules: Of their network.
        ignored: Is filled with the keys that are dropped, and why.

    Raises:
        KeyError: If no rule knows a key.
        ValueError: If two keys have one name here.
    """
    converted: Dict[str, Tensor] = {}
    for key, value in weights.items():
        name = rename(key, rules)
        if isinstance(name, Ignored):
            if ignored is not None:
                ignored[key] = name.reason
            continue
        if name in converted:
            raise ValueError(f'official key {key!r} and another one are both {name!r}.')
        if re.search(r'\.conv(\.\d+)?\.weight$', name) and value.dim() in (2, 3):
            value = value.reshape(*value.shape[:2], 1, 1)
        # spikingjelly's activation_based neurons hold a scalar.
        converted[name] = value.reshape(1) if name.endswith('neuron.w') else value
    return converted
