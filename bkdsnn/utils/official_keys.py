"""Names of weights in the authors' code, and what they are called here."""
import re
from typing import Dict, Optional

from torch import Tensor

# Tried in order; the first pattern that matches the whole key renames it. None drops the key.
SEW_RESNET = (
    (r'conv1\.(.*)', r'backbone.stem.conv.\1'),
    (r'bn1\.(.*)', r'backbone.stem.norm.\1'),
    (r'(layer\d\.\d+)\.conv(\d)(?:\.module)?\.0\.(.*)', r'backbone.\1.unit\2.conv.\3'),
    (r'(layer\d\.\d+)\.conv(\d)(?:\.module)?\.1\.(.*)', r'backbone.\1.unit\2.norm.\3'),
    (r'(layer\d\.\d+)\.downsample\.0(?:\.module)?\.0\.(.*)', r'backbone.\1.downsample.conv.\2'),
    (r'(layer\d\.\d+)\.downsample\.0(?:\.module)?\.1\.(.*)', r'backbone.\1.downsample.norm.\2'),
    (r'fc\.(.*)', r'head.fc.\1'),
)
SPIKINGFORMER = (
    (r'patch_embed\.proj_conv\.(.*)', r'backbone.tokenizer.0.conv.\1'),
    (r'patch_embed\.proj_bn\.(.*)', r'backbone.tokenizer.0.norm.\1'),
    (r'patch_embed\.proj(\d)_conv\.(.*)', r'backbone.tokenizer.\1.conv.\2'),
    (r'patch_embed\.proj(\d)_bn\.(.*)', r'backbone.tokenizer.\1.norm.\2'),
    (r'block\.(\d+)\.attn\.q_conv\.(.*)', r'backbone.blocks.\1.attention.query.conv.\2'),
    (r'block\.(\d+)\.attn\.q_bn\.(.*)', r'backbone.blocks.\1.attention.query.norm.\2'),
    (r'block\.(\d+)\.attn\.k_conv\.(.*)', r'backbone.blocks.\1.attention.key.conv.\2'),
    (r'block\.(\d+)\.attn\.k_bn\.(.*)', r'backbone.blocks.\1.attention.key.norm.\2'),
    (r'block\.(\d+)\.attn\.v_conv\.(.*)', r'backbone.blocks.\1.attention.value.conv.\2'),
    (r'block\.(\d+)\.attn\.v_bn\.(.*)', r'backbone.blocks.\1.attention.value.norm.\2'),
    (r'block\.(\d+)\.attn\.proj_conv\.(.*)', r'backbone.blocks.\1.attention.project.conv.\2'),
    (r'block\.(\d+)\.attn\.proj_bn\.(.*)', r'backbone.blocks.\1.attention.project.norm.\2'),
    (r'block\.(\d+)\.mlp\.mlp1_conv\.(.*)', r'backbone.blocks.\1.mlp.expand.conv.\2'),
    (r'block\.(\d+)\.mlp\.mlp1_bn\.(.*)', r'backbone.blocks.\1.mlp.expand.norm.\2'),
    (r'block\.(\d+)\.mlp\.mlp2_conv\.(.*)', r'backbone.blocks.\1.mlp.reduce.conv.\2'),
    (r'block\.(\d+)\.mlp\.mlp2_bn\.(.*)', r'backbone.blocks.\1.mlp.reduce.norm.\2'),
    (r'block\.\d+\.norm[12]\..*', None),  # built by the authors, never used
    (r'head\.(.*)', r'head.fc.\1'),
)


def rename(key: str, rules: tuple) -> Optional[str]:
    """Our name of an official key; ``None`` where the weight is not used.

    Raises:
        KeyError: If no rule knows the key.
    """
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, key)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise KeyError(f'official key {key!r} is not known')


def convert(weights: Dict[str, Tensor], rules: tuple) -> Dict[str, Tensor]:
    """Official weights under our names; 1-d 1x1 convolutions become 2-d ones."""
    converted = {}
    for key, value in weights.items():
        name = rename(key, rules)
        if name is not None:
            converted[name] = value.unsqueeze(-1) if name.endswith('conv.weight') and value.dim() == 3 else value
    return converted
