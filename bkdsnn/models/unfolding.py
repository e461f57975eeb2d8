"""Integer neurons as binary spikes for inference: each time step unfolds into D, and products into additions."""
import copy
from contextlib import contextmanager
from typing import Dict, Iterator, Optional, Tuple

from torch import nn

from .backbones.qkformer import TokenQKAttention
from .backbones.sew_dvs_net import SEWDVSNet
from .layers import Unfolding, unfold_layers
from .neurons import IntegerNode, SpikingNode


def has_integers(model: nn.Module) -> bool:
    """Whether a network has neurons that emit integers, unfolded or not."""
    return any(isinstance(module, SpikingNode) and module.emits_integers for module in model.modules())


def spike_driven(model: nn.Module) -> nn.Module:
    """A copy of a classifier for inference whose neurons emit binary spikes only.

    A neuron that emits an integer s from 0 to D emits s spikes in D steps instead, and the layer that reads them adds
    its weights for each. The logits (T, B, K) are the same but for the order of sums; in fp32, a membrane next to where
    an integer changes may be rounded otherwise.

    Args:
        model: A :class:`bkdsnn.models.SpikingClassifier` in eval mode; it is left as it is.

    Raises:
        ValueError: If the network is in training mode, has no integer neurons, or cannot be unfolded.
    """
    if model.training:
        raise ValueError('spike_driven: integers are unfolded for inference only; call model.eval() first.')
    model = copy.deepcopy(model)
    set_spike_driven(model, True)
    model.spike_driven = True  # also after model.eval()
    return model


def is_spike_driven(model: nn.Module) -> bool:
    """Whether the integers of a network are unfolded now."""
    return any(isinstance(module, IntegerNode) and module.spike_driven for module in model.modules())


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Inside the block, neurons emit integers again."""
    was = is_spike_driven(model)
    if was:
        set_spike_driven(model, False)
    try:
        yield
    finally:
        if was:
            set_spike_driven(model, True)


def set_spike_driven(model: nn.Module, unfolded: bool) -> None:
    """Unfold the integers of a classifier, or fold them again, in place.

    Raises:
        ValueError: If they cannot be unfolded; the message names the layer and says why.
    """
    unfoldings = unfoldings_of(model) if unfolded else (None, None)
    for part, unfolding in zip((model.backbone, model.head), unfoldings):
        unfold_layers(part, unfolding)
    for module in model.modules():
        if isinstance(module, IntegerNode):
            module.spike_driven = unfolded


def unfoldings_of(model: nn.Module) -> Tuple[Unfolding, Optional[Unfolding]]:
    """How the layers of the backbone and of the head read spikes; see :func:`set_spike_driven`."""
    if not hasattr(model, 'backbone') or not hasattr(model, 'head'):
        raise ValueError(f'spike_driven: {type(model).__name__} is no classifier with a backbone and a head.')
    if getattr(model, 'with_neck', False):
        raise ValueError(f'spike_driven: the neck, a {type(model.neck).__name__}, stands between the backbone and the '
                         'head and does not say how it reads spikes. Set model.neck=None, or put it into the backbone.')
    backbone, head = model.backbone, model.head
    nodes = {path: module for path, module in model.named_modules() if isinstance(module, SpikingNode)}
    _check_neurons(nodes)
    _check_layers(backbone, head)
    kinds = {(node.D, node.norm) for path, node in nodes.items() if path.startswith('backbone.')}
    steps = {node.D for node in nodes.values()}
    if len(kinds) > 1 or len(steps) > 1:
        raise ValueError(f'spike_driven: the neurons have several D and norm: {sorted(kinds)} in the backbone, D of '
                         f'{sorted(steps)} in all. Give them one.')
    of_backbone = Unfolding(*kinds.pop())
    if isinstance(head.neuron, IntegerNode):
        return of_backbone, Unfolding(head.neuron.D, head.neuron.norm)
    return of_backbone, of_backbone if backbone.emits_spikes else None


def _check_neurons(nodes: Dict[str, SpikingNode]) -> None:
    if not any(node.emits_integers for node in nodes.values()):
        raise ValueError('spike_driven: the network has no neurons that emit integers, as ILIFNode and SFANode do; '
                         'its spikes are binary as they are.')
    for path, node in nodes.items():
        if not isinstance(node, IntegerNode):
            raise ValueError(f'spike_driven: {path} ({type(node).__name__}) emits no integers as the other neurons do; '
                             'give all of them one type.')


def _check_layers(backbone: nn.Module, head: nn.Module) -> None:
    for path, module in backbone.named_modules():
        if isinstance(module, TokenQKAttention):
            raise ValueError(f'spike_driven: backbone.{path} multiplies two integers before a convolution reads '
                             'them, which binary spikes cannot do.')
    if isinstance(backbone, SEWDVSNet):
        raise ValueError('spike_driven: SEWDVSNet takes the largest of sums of integers (its max-pools after ADD), '
                         'which their spikes do not have step by step.')
    if not hasattr(backbone, 'emits_spikes') or not hasattr(head, 'unfolding'):
        raise ValueError(f'spike_driven: {type(backbone).__name__} with {type(head).__name__} does not say how it '
                         'reads spikes. A backbone of SpikingConvUnits says by emits_spikes whether its outputs are '
                         'spikes or currents; a head is a SpikingLinearHead.')
