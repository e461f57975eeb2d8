"""The networks of the benchmarks: ours, and with the same weights spikingjelly's and an ANN."""
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, List, Optional

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS


@dataclass
class Network:
    """A network of the zoo, and how its peer is built.

    Attributes:
        backbone: Config, without T and neuron.
        neuron: Config of the neurons.
        channels: Of the last feature map.
        classes: Number of classes.
        size: Of the images, in pixels.
        batch_size: Number of images.
        teacher: Name of timm's model that it is distilled from, and the path of its last feature and of its logits.
        last: Path of the last feature.
        peer: Builds spikingjelly's network; ``None`` is ours with spikingjelly's neurons.
        time_steps: T of its configs.
        head: What the neuron before the classifier has otherwise than ``neuron``; ``None`` has none there.
    """

    backbone: dict
    neuron: dict
    channels: int
    classes: int
    size: int
    batch_size: int
    teacher: tuple
    last: str
    peer: Optional[Callable[[], nn.Module]] = None
    time_steps: int = 4
    head: Optional[dict] = None


def spikingjelly():
    """The package's ``activation_based``, or an error with the command that installs it."""
    try:
        from spikingjelly import activation_based
        from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: F401
    except ImportError as error:
        raise SystemExit(f'This benchmark needs spikingjelly ({error}): '
                         'pip install --no-deps spikingjelly==2.0.0 loguru') from error
    return activation_based


def _sew_resnet(depth: int) -> nn.Module:
    sj = spikingjelly()
    from spikingjelly.activation_based.model import sew_resnet
    net = getattr(sew_resnet, f'sew_resnet{depth}')(
        pretrained=False, cnf='ADD', spiking_neuron=sj.neuron.IFNode, num_classes=1000,
        surrogate_function=sj.surrogate.ATan(alpha=2.0), detach_reset=True)
    sj.functional.set_step_mode(net, 'm')
    return net


def _spikformer() -> nn.Module:
    spikingjelly()
    from spikingjelly.activation_based.model.spikformer import spikformer_cifar10
    return spikformer_cifar10()


def _maxformer() -> nn.Module:
    spikingjelly()
    from spikingjelly.activation_based.model.maxformer import maxformer_cifar
    return maxformer_cifar(num_classes=10)


COMMON = dict(v_threshold=1.0, v_reset=0.0, detach_reset=True)
IF = dict(COMMON, type='IFNode', surrogate=dict(type='ATan', alpha=2.0))
LIF = dict(COMMON, type='LIFNode', tau=2.0, decay_input=True, surrogate=dict(type='Sigmoid', alpha=4.0))
SFA = dict(type='SFANode', D=4, norm=4)
VIT, VIT_BASE = ((f'vit_{size}_patch16_224', 'head:input', 'head') for size in ('small', 'base'))
NETWORKS: Dict[str, Network] = {
    'sew-resnet18': Network(
        dict(type='SEWResNet', arch=18), IF, 512, 1000, 128, 8, ('resnet18', 'layer4', 'fc'), 'backbone.layer4',
        partial(_sew_resnet, 18)),
    'sew-resnet34': Network(
        dict(type='SEWResNet', arch=34), IF, 512, 1000, 128, 8, ('resnet34', 'layer4', 'fc'), 'backbone.layer4',
        partial(_sew_resnet, 34)),
    'sew-resnet50': Network(
        dict(type='SEWResNet', arch=50), IF, 2048, 1000, 128, 8, ('resnet50', 'layer4', 'fc'), 'backbone.layer4',
        partial(_sew_resnet, 50)),
    'spikformer-4-384': Network(
        dict(type='Spikformer', arch='4-384'), LIF, 384, 10, 32, 16, VIT, 'backbone.blocks.3', _spikformer),
    'spikingformer-4-384': Network(
        dict(type='Spikingformer', arch='4-384'), LIF, 384, 10, 32, 16, VIT, 'backbone.blocks.3'),
    'spikingformer-8-384': Network(
        dict(type='Spikingformer', arch='8-384'), LIF, 384, 1000, 224, 8, VIT_BASE, 'backbone.blocks.7'),
    'maxformer-4-384': Network(
        dict(type='MaxFormer', arch='4-384'), LIF, 384, 10, 32, 16, VIT, 'backbone.stages.2', _maxformer, head={}),
    'e-spikeformer-s': Network(
        dict(type='ESpikeFormer', arch='s'), SFA, 192, 1000, 224, 8, VIT_BASE, 'backbone.stages.4', time_steps=1,
        head=dict(norm=1)),
}


@MODELS.register_module()
class SpikingjellyCounts(nn.Module):
    """SFA by spikingjelly's surrogate of integers: it has no such neuron."""

    def __init__(self, D: int, norm: float, **kwargs) -> None:
        super().__init__()
        self.counts, self.norm = spikingjelly().surrogate.MultiLevelSpikeCount(D), norm

    def forward(self, x: Tensor) -> Tensor:
        """Integers of currents, divided by ``norm``."""
        return self.counts(x) / self.norm


@MODELS.register_module()
class SpikingjellyNode(nn.Module):
    """spikingjelly's IF or LIF neuron in a network of ours; a call starts from rest."""

    def __init__(self, kind: str, surrogate: dict, backend: str = 'auto', **arguments) -> None:
        super().__init__()
        sj = spikingjelly()
        function = getattr(sj.surrogate, surrogate['type'])(alpha=surrogate['alpha'])
        self.node = getattr(sj.neuron, kind)(step_mode='m', surrogate_function=function, **arguments)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T, B, ...) of currents (T, B, ...)."""
        spikes = self.node(x)
        self.node.reset()
        return spikes


def ours(name: str, time_steps: int, neuron: Optional[dict] = None, **options) -> nn.Module:
    """Our network, with weights of one seed.

    Args:
        name: A key of ``NETWORKS``.
        time_steps: T.
        neuron: Instead of the network's own; ``dict(type='ReLU')`` makes an ANN of it.
        **options: Of the :class:`bkdsnn.models.SpikingClassifier`.
    """
    network = NETWORKS[name]
    torch.manual_seed(0)
    neuron = neuron or network.neuron
    head = dict(type='SpikingLinearHead', num_classes=network.classes, in_channels=network.channels)
    if network.head is not None:
        own = network.head if neuron['type'] != 'ReLU' else {}
        head['neuron'] = dict(neuron, **own)
    model = MODELS.build(dict(
        type='SpikingClassifier', **options, backbone=dict(network.backbone, T=time_steps, neuron=neuron), head=head))
    model.init_weights()
    for conv in in_order(model, nn.Conv2d):
        if conv.bias is not None:  # the peers have none, and a norm follows
            nn.init.zeros_(conv.bias)
    return model


def with_storage(model: nn.Module, dtype: str, device: str) -> nn.Module:
    """spikingjelly's network with its Triton kernels for mixed precision, which keep membranes in ``dtype``.

    Without, its neurons run step by step in PyTorch where their input is not in fp32.
    """
    spikingjelly()
    from spikingjelly.activation_based.precision import prepare_model_for_precision
    return prepare_model_for_precision(model, device, dict(mode='fp32', neuron_storage=dtype)).model


def peer_of(name: str, like: nn.Module) -> nn.Module:
    """spikingjelly's network with the weights of ours; it takes images (B, C, H, W) and forgets nothing by itself."""
    network = NETWORKS[name]
    if network.peer is None:
        neuron = dict(network.neuron)
        kind = neuron['type']
        peers = dict(neuron, type='SpikingjellyCounts') if kind == 'SFANode' else \
            dict(neuron, type='SpikingjellyNode', kind=kind)
        model = ours(name, like.backbone.T, peers)
        model.load_state_dict({key: value for key, value in like.state_dict().items() if 'extra_state' not in key})
        return model
    net = network.peer()
    with torch.no_grad():
        for group, theirs in matched(like, net):
            for key in ('weight', 'bias'):
                if getattr(theirs, key) is not None:
                    whole = torch.cat([getattr(module, key) for module in group])
                    getattr(theirs, key).copy_(whole.view_as(getattr(theirs, key)))
    return net


def matched(like: nn.Module, net: nn.Module) -> List[tuple]:
    """(modules of ours, module of theirs) for all that have weights: theirs may have several of ours in one."""
    pairs = []
    for kinds in ((nn.Conv1d, nn.Conv2d), (nn.BatchNorm1d, nn.BatchNorm2d), (nn.Linear,)):
        rest = in_order(like, *kinds)
        for theirs in in_order(net, *kinds):
            group = [rest.pop(0)]
            while sum(len(module.weight) for module in group) < len(theirs.weight):
                group.append(rest.pop(0))
            pairs.append((group, theirs))
        if rest:
            raise RuntimeError(f'{type(net).__name__} lacks {rest[0]}.')
    return pairs


def in_order(model: nn.Module, *kinds: type) -> list:
    """Layers of these kinds, a block's shortcut last, as both sides have them."""
    return [module for module in model.modules() if isinstance(module, kinds)]


def gradient_error(model: nn.Module, like: nn.Module) -> float:
    """Largest distance of the gradients of a layer's weight, over their norm."""
    errors = []
    for group, theirs in matched(model, like):
        a, b = torch.cat([module.weight.grad for module in group]), theirs.weight.grad
        errors.append(float((a.view_as(b) - b).norm() / b.norm().clamp(min=1e-12)))
    return max(errors)


def forward_of(model: nn.Module, x: Tensor, time_steps: int) -> Callable[[], Tensor]:
    """Logits (B, K) of ours or a peer for images (B, C, H, W)."""
    bare = getattr(model, '_orig_mod', model)
    if hasattr(bare, 'backbone'):
        return lambda: model(x, mode='tensor').mean(0)
    functional = spikingjelly().functional

    def forward() -> Tensor:
        logits = model(x.unsqueeze(0).expand(time_steps, *x.shape))
        functional.reset_net(bare)
        return logits if logits.dim() == 2 else logits.mean(0)
    return forward
