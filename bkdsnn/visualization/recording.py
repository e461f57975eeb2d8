"""What a network does on one sample, time step by time step: spikes, membranes, and where it sees its answer."""
import copy
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..evaluation import running_scores
from ..models import Stream
from ..models.distillers.distiller import views_of
from ..models.distillers.recorder import FeatureRecorder
from ..models.heads import SpikingLinearHead
from ..models.neurons import BaseNode, SpikingNode
from ..models.neurons.functional import fire_and_reset
from ..models.neurons.integer import binary_spikes
from ..models.unfolding import folded


class LayerTrace(NamedTuple):
    """One layer of neurons on one sample.

    Attributes:
        spikes: In {0, 1}, (T, ...); of neurons that emit integers, the D binary steps of each step, (T * D, ...).
        charged: Membranes once the step's current has flowed in, before the reset, (T, ...): a neuron spikes where this
            reaches the threshold. ``None`` where there is no one threshold and reset to be drawn.
        threshold: Of all neurons of the layer, or ``None``.
        reset: Membrane after a spike and at rest; ``None`` is soft reset, which subtracts the threshold.
    """

    spikes: Tensor
    charged: Optional[Tensor]
    threshold: Optional[float]
    reset: Optional[float]


class ClassMaps(NamedTuple):
    """Where a class is seen at each time step.

    Attributes:
        label: Index of the class.
        maps: What each place says for the class (positive) or against it, (T, H, W).
        are_exact: Whether the mean of a map, plus the class's bias, is that step's logit; otherwise the maps are
            weighted by surrogate gradients.
    """

    label: int
    maps: Tensor
    are_exact: bool


@dataclass(frozen=True)
class Recording:
    """A network on one sample; all tensors are on the CPU.

    Attributes:
        layers: By path of the neurons.
        logits: Of each step, (T, K).
        class_maps: Of the class asked for.
    """

    layers: Dict[str, LayerTrace]
    logits: Tensor
    class_maps: ClassMaps

    @property
    def scores(self) -> Tensor:
        """Class probabilities (T, K) after each step; the last ones are the prediction."""
        return running_scores(self.logits.unsqueeze(1))[:, 0]

    @property
    def predicted(self) -> int:
        """Index of the predicted class."""
        return int(self.scores[-1].argmax())


def student_of(model: nn.Module) -> nn.Module:
    """The network to look at: of a distiller the student, without a wrapper such as DDP."""
    model = model.module if is_model_wrapper(model) else model
    return getattr(model, 'student', model)


def choose_layers(network: nn.Module) -> List[str]:
    """Path of the last neuron of each stage, such as ``'backbone.layer1.0.unit2.neuron'``; shortcuts do not count."""
    stages: Dict[str, str] = {}
    for path, module in network.named_modules():
        if isinstance(module, SpikingNode) and 'downsample' not in path:
            stages['.'.join(path.split('.')[:2])] = path
    return list(stages.values())


def check_layers(network: nn.Module, layers: Optional[Sequence[str]]) -> List[str]:
    """Paths of the neurons to record; ``None`` are the last ones of each stage.

    Raises:
        ValueError: If a path does not exist or is no neuron; the message lists some that are.
    """
    if layers is None:
        return choose_layers(network)
    FeatureRecorder(network, layers, 'the network')
    neurons = [path for path, module in network.named_modules() if isinstance(module, SpikingNode)]
    for path in layers:
        if path not in neurons:
            inside = [neuron for neuron in neurons if neuron.startswith(f'{path}.')] or choose_layers(network)
            raise ValueError(f'{path!r} is a {type(network.get_submodule(path)).__name__}, not a layer of neurons. '
                             f'Neurons are {", ".join(inside[:8])}{", ..." if len(inside) > 8 else ""}')
    return list(dict.fromkeys(layers))


def record(network: nn.Module, data: dict, layers: Optional[Sequence[str]] = None, label: Optional[int] = None,
           time_steps: Optional[int] = None) -> Recording:
    """Run a network on one sample, step by step.

    Args:
        network: A :class:`bkdsnn.models.SpikingClassifier` in eval mode.
        data: Batch of one sample, as a data loader gives it.
        layers: Paths of neurons; ``None`` are the last ones of each stage.
        label: Class whose maps are wanted; ``None`` is the predicted one.
        time_steps: How long a static image is shown, instead of the backbone's ``T``.

    Raises:
        ValueError: If the network is in training mode, does not spike or does not classify, a layer is none, a class
            does not exist, or ``time_steps`` is given for event frames, which bring their own.
    """
    with folded(network):
        return _record(network, data, layers, label, time_steps)


def _record(network: nn.Module, data: dict, layers: Optional[Sequence[str]], label: Optional[int],
            time_steps: Optional[int]) -> Recording:
    stream = Stream(network)
    layers = check_layers(network, layers)
    frames = _frames(network, data, time_steps)
    recorder = FeatureRecorder(network, [*layers, *(f'{path}:input' for path in layers), 'head:input'])
    spikes, charged, logits, features = defaultdict(list), defaultdict(list), [], []
    for frame in frames:
        before = stream.membranes
        with recorder:
            logits.append(stream.step(frame))
        recorded = recorder.features
        features.append(recorded['head:input'][0])
        for path in layers:
            spikes[path] += binary_spikes(stream.nodes[path], recorded[path])[:, 0].cpu()  # of integers, D steps
            if draws_membrane(stream.nodes[path]):
                charged[path].append(_charge(stream, path, recorded[f'{path}:input'][0], before.get(path))[0].cpu())
    logits, features = torch.stack(logits), torch.stack(features)
    if logits.dim() != 3:
        raise ValueError('a recording holds the class activation, but in a step the network gives '
                         f'{tuple(logits.shape[1:])}, not logits (B, K).')
    label = int(logits.mean(0).argmax()) if label is None else label
    return Recording({path: _trace(stream.nodes[path], spikes[path], charged[path]) for path in layers},
                     logits[:, 0].cpu(), class_maps(network.head, features, label))


def draws_membrane(node: SpikingNode) -> bool:
    """Whether a neuron has a membrane with a threshold and a reset, to be drawn."""
    return isinstance(node, BaseNode)


def _trace(node: SpikingNode, spikes: List[Tensor], charged: List[Tensor]) -> LayerTrace:
    if not draws_membrane(node):
        return LayerTrace(torch.stack(spikes), None, None, None)
    return LayerTrace(torch.stack(spikes), torch.stack(charged), node.v_threshold, node.v_reset)


def _frames(network: nn.Module, data: dict, time_steps: Optional[int]) -> List[Tensor]:
    """What the network gets at each step, T times (1, C, H, W)."""
    # A preprocessor may change what it gets.
    inputs = views_of(network.data_preprocessor(copy.deepcopy(data), False)['inputs'])['student']
    if len(inputs) != 1:
        raise ValueError(f'one sample is recorded at a time, got a batch of {len(inputs)}.')
    if inputs.dim() == 5:
        if time_steps is not None:
            raise ValueError(f'time_steps={time_steps} is for static images; these events have {inputs.shape[1]} '
                             'frames, as the data pipeline says.')
        return list(inputs.unbind(1))
    time_steps = network.backbone.T if time_steps is None else time_steps
    if time_steps < 1:
        raise ValueError(f'time_steps={time_steps} must be at least 1.')
    return [inputs] * time_steps


@torch.no_grad()
def _charge(stream: Stream, path: str, x: Tensor, before: Optional[Tensor]) -> Tensor:
    """Membranes (B, ...) of a step before the reset, from the input current and what a stream held before it."""
    node = stream.nodes[path]
    before = node.rest(x) if before is None else before
    charged = node.charge(x.to(before.dtype), before)
    after = fire_and_reset(charged, node.v_threshold, node.v_reset, node.surrogate, node.detach_reset, node.strict)[1]
    if not torch.allclose(after, stream.membranes[path]):
        raise ValueError(f'the membranes of {path!r} ({type(node).__name__}) cannot be drawn: charged twice with the '
                         'same current, they differ. Does it draw random numbers, or change `step`?')
    return charged


def class_maps(head: nn.Module, features: Tensor, label: int) -> ClassMaps:
    """What each place of a feature map says for a class, at each time step.

    A channel's weight at a step is the gradient of the summed logits with respect to it, summed over space (Grad-CAM,
    Selvaraju et al., ICCV 2017, without its rectification, so that evidence against the class is kept). For a linear
    classifier on the space mean these are the classifier's weights (CAM, Zhou et al., CVPR 2016), and the mean of a map
    plus the bias is that step's logit. A neuron in the head has its surrogate's gradient.

    Args:
        head: Takes a tuple of feature maps and returns logits (T, B, K).
        features: Feature map that it classifies, (T, 1, C, H, W).
        label: Index of the class.

    Raises:
        ValueError: If the features have no space or the class does not exist.
    """
    if features.dim() != 5:
        raise ValueError('class activation needs a feature map (T, B, C, H, W) before the head, got shape '
                         f'{tuple(features.shape)}.')
    features = features.detach().requires_grad_()
    with torch.enable_grad():
        logits = head((features, ))
        if not 0 <= label < logits.shape[-1]:
            raise ValueError(f'class {label} does not exist; the network knows {logits.shape[-1]}, 0 to '
                             f'{logits.shape[-1] - 1}.')
        grad, = torch.autograd.grad(logits[..., label].sum(), features)
    maps = (grad.sum((-2, -1), keepdim=True) * features.detach()).sum(2)[:, 0]
    are_exact = isinstance(head, SpikingLinearHead) and isinstance(head.neuron, nn.Identity)
    return ClassMaps(label, maps.cpu(), are_exact)


def firing_rate_map(spikes: Tensor) -> Tensor:
    """Spikes per neuron and time step at each place, (H, W), of spikes (T, C, H, W)."""
    return spikes.float().mean((0, 1))


# ---- which neurons ----


def choose_neurons(spikes: Tensor, count: int) -> List[int]:
    """Flat indices of neurons that spike, most active first, equals by index.

    Where more spike than ``count``, they are spread evenly over that order: in few time steps, the most active ones
    all do the same. Where none spikes, they are the first ones.

    Args:
        spikes: (T, ...).
        count: How many neurons at most.
    """
    totals = spikes.flatten(1).sum(0)
    order = totals.sort(descending=True, stable=True).indices
    order = order[:int((totals > 0).sum()) or count]
    return order[torch.linspace(0, len(order) - 1, min(count, len(order))).round().long()].tolist()


def check_neurons(neurons: Sequence[int], shape: Tuple[int, ...], layer: str) -> None:
    """Check flat indices into a layer of shape (C, H, W) or (C, ).

    Raises:
        ValueError: For the first one that is out of range; the message gives the range.
    """
    size = torch.Size(shape).numel()
    for neuron in neurons:
        if not 0 <= neuron < size:
            raise ValueError(f'neuron {neuron} is out of range: {layer} has {size} neurons, 0 to {size - 1}, of shape '
                             f'{"x".join(map(str, shape))}.')
