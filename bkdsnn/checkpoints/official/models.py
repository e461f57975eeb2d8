"""Which network a checkpoint from elsewhere holds, and its config here."""
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from torch import Tensor

from bkdsnn.registry import MODELS

from ..files import some_of
from .keys import (
    SEW_RESNET,
    SPIKFORMER,
    SPIKINGFORMER,
    Rules,
    canonical,
    convert,
    meta_spikeformer_rules,
    qkformer_rules,
    sew_dvs_rules,
)
from .keys_2025 import e_spikeformer_rules, max_resnet_rules, maxformer_rules

Weights = Dict[str, Tensor]

# What the published code uses; neither weights nor arguments say it.
RESET = dict(v_threshold=1.0, v_reset=0.0, detach_reset=True)
IF = dict(type='IFNode', **RESET, surrogate=dict(type='ATan', alpha=2.0))
PLIF = dict(type='ParametricLIFNode', tau=2.0, decay_input=True, **RESET, surrogate=dict(type='ATan', alpha=2.0))


def lif(tau: float) -> dict:
    """The LIF neuron of the published transformers."""
    return dict(type='LIFNode', tau=tau, decay_input=True, **RESET, surrogate=dict(type='Sigmoid', alpha=4.0))


@dataclass(frozen=True)
class Family:
    """A kind of network as other people publish it.

    Attributes:
        marker: Pattern of a canonical key that checkpoints of this family alone have.
        rules: The renaming rules, from all canonical keys.
        backbone: The backbone's config, from the converted weights and the arguments stored with them.
        note: What to know before the published accuracy is compared with that of the converted network.
    """

    marker: str
    rules: Callable[[List[str]], Rules]
    backbone: Callable[[Weights, Dict[str, Any]], dict]
    note: str = ''


def _count(weights: Weights, pattern: str) -> int:
    """How many different numbers the pattern's group takes in the keys."""
    return len({match[1] for match in (re.match(pattern, key) for key in weights) if match})


def _named_arch(cls: str, arch: dict, unknown: str) -> Any:
    """The key of the class's arch table with these settings, but for ``unknown`` ones that are None; or ``arch``."""
    for name, settings in MODELS.get(cls).arch_settings.items():
        if all(settings[key] == value for key, value in arch.items() if value is not None):
            return name
    missing = [key for key, value in arch.items() if value is None]
    if missing:
        raise ValueError(f'the weights are of a {cls} with {arch}, which is none of the published ones, and do not say '
                         f'its {" and ".join(missing)}. Give {unknown}.')
    return arch


def _options(*names: str) -> str:
    return '--cfg-options ' + ' '.join(f'model.backbone.arch.{name}=...' for name in names)


def _sew_resnet(weights: Weights, args: Dict[str, Any]) -> dict:
    stages = _count(weights, r'backbone\.layer(\d)\.')
    layers = tuple(_count(weights, rf'backbone\.layer{i + 1}\.(\d+)\.') for i in range(stages))
    widths = tuple(weights[f'backbone.layer{i + 1}.0.unit1.conv.weight'].shape[0] for i in range(stages))
    arch = dict(layers=layers, widths=widths, bottleneck='backbone.layer1.0.unit3.conv.weight' in weights)
    stem = weights['backbone.stem.conv.weight']
    return dict(type='SEWResNet', arch=_named_arch('SEWResNet', arch, ''), T=args.get('T', 4),
                neuron=PLIF if 'backbone.stem.neuron.w' in weights else IF, connect=args.get('connect_f') or 'ADD',
                in_channels=stem.shape[1], stem='imagenet' if stem.shape[-1] == 7 else 'small')


def _sew_dvs(weights: Weights, args: Dict[str, Any]) -> dict:
    stages = _count(weights, r'backbone\.stage(\d)\.')
    widths = tuple(weights[f'backbone.stage{i + 1}.block.unit1.conv.weight'].shape[0] for i in range(stages))
    return dict(type='SEWDVSNet', arch=_named_arch('SEWDVSNet', dict(widths=widths), ''), neuron=PLIF,
                connect=args.get('connect_f') or 'ADD',
                in_channels=weights['backbone.stage1.widen.conv.weight'].shape[1])


def _transformer(cls: str) -> Callable[[Weights, Dict[str, Any]], dict]:
    def backbone(weights: Weights, args: Dict[str, Any]) -> dict:
        arch = dict(depth=_count(weights, r'backbone\.blocks\.(\d+)\.'),
                    channels=weights['backbone.blocks.0.attention.query.conv.weight'].shape[0],
                    num_heads=args.get('num_heads'), patch_size=args.get('patch_size'))
        in_channels = weights['backbone.tokenizer.0.conv.weight'].shape[1]
        return dict(type=cls, arch=_named_arch(cls, arch, _options('num_heads', 'patch_size')), T=args.get('T', 4),
                    # Two polarities: the published nets for events, which forget faster.
                    neuron=lif(1.75 if in_channels == 2 else 2.0), in_channels=in_channels,
                    qkv_bias='backbone.blocks.0.attention.query.conv.bias' in weights)
    return backbone


def _qkformer(weights: Weights, args: Dict[str, Any]) -> dict:
    arch = dict(depths=tuple(_count(weights, rf'backbone\.stages\.{i}\.(\d+)\.') for i in range(3)),
                channels=weights['backbone.embeddings.2.shortcut.conv.weight'].shape[0],
                num_heads=args.get('num_heads'),
                patch_size=16 if 'backbone.embeddings.0.units.1.conv.weight' in weights else 4)
    return dict(type='QKFormer', arch=_named_arch('QKFormer', arch, _options('num_heads')), T=args.get('T', 4),
                neuron=lif(2.0), in_channels=weights['backbone.stem.conv.weight'].shape[1])


def _meta_spikeformer(weights: Weights, args: Dict[str, Any]) -> dict:
    arch = dict(channels=tuple(weights[f'backbone.downsamples.{i}.conv.weight'].shape[0] for i in range(5)),
                depths=tuple(_count(weights, rf'backbone\.stages\.{i}\.(\d+)\.') for i in range(5)),
                num_heads=args.get('num_heads') or 8)  # a constant of the public code
    return dict(type='MetaSpikeFormer', arch=_named_arch('MetaSpikeFormer', arch, ''), T=args.get('T', 4),
                neuron=lif(2.0), in_channels=weights['backbone.downsamples.0.conv.weight'].shape[1])


def _e_spikeformer(weights: Weights, args: Dict[str, Any]) -> dict:
    stages = _count(weights, r'backbone\.downsamples\.(\d+)\.')
    is_large = 'backbone.stages.3.0.residual.mlp.1.weight' in weights
    kind = 'separable' if not is_large else (
        'factorised-conv' if 'backbone.stages.3.0.conv.norm.weight' in weights else 'factorised')
    arch = dict(channels=tuple(weights[f'backbone.downsamples.{i}.conv.weight'].shape[0] for i in range(stages)),
                depths=tuple(_count(weights, rf'backbone\.stages\.{i}\.(\d+)\.') for i in range(stages)),
                num_heads=args.get('num_heads') or 8, kind=kind)  # a constant of the public code
    neuron = dict(type='SFANode', D=4, norm=4)
    if is_large:
        neuron['half_up'] = True
    return dict(type='ESpikeFormer', arch=_named_arch('ESpikeFormer', arch, ''), T=args.get('time_step') or 1,
                neuron=neuron, in_channels=weights['backbone.downsamples.0.conv.weight'].shape[1])


def _maxformer(weights: Weights, args: Dict[str, Any]) -> dict:
    channels = weights['backbone.embeddings.2.shortcut.conv.weight'].shape[0]
    is_imagenet = 'backbone.embeddings.0.units.1.conv.weight' in weights
    mixers = (weights.get(f'backbone.stages.{i}.0.mixer.conv.weight') for i in range(2))
    # Heads of 64 channels, or 8 heads: constants of the public code.
    arch = dict(depths=tuple(_count(weights, rf'backbone\.stages\.{i}\.(\d+)\.') for i in range(3)), channels=channels,
                num_heads=args.get('num_heads') or (channels // 64 if is_imagenet else 8),
                kernel_sizes=tuple(None if mixer is None else mixer.shape[-1] for mixer in mixers),
                patch_size=16 if is_imagenet else 4)
    return dict(type='MaxFormer', arch=_named_arch('MaxFormer', arch, ''), T=args.get('T', 4), neuron=lif(2.0),
                in_channels=weights['backbone.embeddings.0.stem.conv.weight'].shape[1])


def _max_resnet(weights: Weights, args: Dict[str, Any]) -> dict:
    stages = range(_count(weights, r'backbone\.stages\.(\d+)\.'))
    arch = dict(layers=tuple(_count(weights, rf'backbone\.stages\.{i}\.(\d+)\.') for i in stages),
                widths=tuple(weights[f'backbone.stages.{i}.0.units.1.conv.weight'].shape[0] for i in stages),
                stem=weights['backbone.stem.conv.weight'].shape[0])
    return dict(type='MaxResNet', arch=_named_arch('MaxResNet', arch, ''), T=args.get('T', 4), neuron=lif(2.0),
                in_channels=weights['backbone.stem.conv.weight'].shape[1])


# A checkpoint is of the first family whose marker it has.
FAMILIES: Dict[str, Family] = {
    'max_resnet': Family(r'fc1\.weight', max_resnet_rules, _max_resnet),
    'maxformer': Family(r'patch_embed2\.max_embed1\.embed_conv\.weight', maxformer_rules, _maxformer),
    'e_spikeformer': Family(r'ConvBlock1_1\.0\.(Conv\.pwconv1\.0|conv1\.0\.0)\.weight', e_spikeformer_rules,
                            _e_spikeformer),
    'sew_resnet': Family(r'layer1\.0\.conv1\..*', lambda keys: SEW_RESNET, _sew_resnet),
    'sew_dvs_net': Family(r'conv\.0\.0\.0\.weight', sew_dvs_rules, _sew_dvs),
    'spikingformer': Family(r'block\.0\.mlp\.mlp1_conv\.weight', lambda keys: SPIKINGFORMER,
                            _transformer('Spikingformer')),
    'spikformer': Family(r'block\.0\.mlp\.fc1_(conv|linear)\.weight', lambda keys: SPIKFORMER,
                         _transformer('Spikformer')),
    'qkformer': Family(r'patch_embed1\.proj_conv\.weight', qkformer_rules, _qkformer, note=(
        'The accuracy that QKFormer publishes is that of membranes that leak from sample to sample of a batch, which '
        'they do not here; without it, these weights are less accurate. To evaluate them as their authors do, in '
        'batches of 32: --cfg-options model.backbone.batch_leak=True')),
    'meta_spikeformer': Family(r'downsample1_1\.encode_conv\.weight', meta_spikeformer_rules, _meta_spikeformer),
}


@dataclass
class Converted:
    """A converted checkpoint.

    Attributes:
        family: Key of :data:`FAMILIES`.
        weights: Under our names.
        model: Config of the :class:`bkdsnn.models.SpikingClassifier`.
        ignored: Official keys that were dropped, with the reason.
    """

    family: str
    weights: Weights
    model: dict
    ignored: Dict[str, str]


def _large_head(head: dict, is_distilled: bool) -> dict:
    """That of the large E-SpikeFormers, whose own classifier reads currents, and the one for distillation spikes."""
    if is_distilled:
        return dict(head, type='SpikingDistillationHead')
    return {key: value for key, value in head.items() if key != 'neuron'}


def find_family(keys: List[str]) -> str:
    """The family whose marker is among the canonical keys.

    Raises:
        ValueError: If there is none.
    """
    for name, family in FAMILIES.items():
        if any(re.fullmatch(family.marker, key) for key in keys):
            return name
    raise ValueError(f'the keys ({some_of(keys)}) are of no network that is known here: {", ".join(FAMILIES)}.')


def convert_official(weights: Weights, args: Optional[Dict[str, Any]] = None, family: Optional[str] = None,
                     arch: Optional[Dict[str, Any]] = None) -> Converted:
    """Convert official weights and tell the config of their network.

    Args:
        weights: Official state dict, with whatever prefixes.
        args: Arguments of the official training, as far as known: ``T`` (or ``time_step``), ``num_heads``,
            ``patch_size``, ``connect_f``.
        family: Key of :data:`FAMILIES`; ``None`` finds it.
        arch: Settings of the arch that override ``args``.

    Raises:
        ValueError: If the network is not recognised, or a key is neither known nor known to be useless.
    """
    args = {key: value for key, value in (args or {}).items() if value is not None}
    args.setdefault('T', args.get('time_step') or 4)
    args.update(arch or {})
    keys = [canonical(key) for key in weights]
    family = family or find_family(keys)
    ignored: Dict[str, str] = {}
    try:
        ours = convert(weights, FAMILIES[family].rules(keys), ignored)
        backbone = FAMILIES[family].backbone(ours, args)
    except KeyError as error:
        raise ValueError(f'the checkpoint is not of a {family}: {error.args[0]}.') from error
    head = dict(type='SpikingLinearHead', num_classes=ours['head.fc.weight'].shape[0],
                in_channels=ours['head.fc.weight'].shape[1])
    if family in ('meta_spikeformer', 'maxformer'):
        head['neuron'] = backbone['neuron']
    if family == 'e_spikeformer':
        head['neuron'] = dict(backbone['neuron'], norm=1)
        if backbone['neuron'].get('half_up'):
            head = _large_head(head, 'head.distilled.weight' in ours)
    return Converted(family, ours, dict(type='SpikingClassifier', backbone=backbone, head=head), ignored)
