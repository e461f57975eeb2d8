"""What one prediction costs: operations and energy by layer, and how often neurons fire."""
from dataclasses import asdict, dataclass, field
from typing import Iterator, List, Optional, Tuple

# In joule, of 32-bit floating-point operations in 45 nm (Horowitz, ISSCC 2014): 3.7 pJ to multiply, 0.9 pJ to add.
MAC_ENERGY = 4.6e-12
AC_ENERGY = 0.9e-12

ASSUMPTIONS = (
    'E = 4.6 pJ x MACs + 0.9 pJ x ACs, of 32-bit floating-point operations in 45 nm (Horowitz, 2014). It is computed, '
    'not measured on a chip.',
    'Counted are convolutions, linear layers and the products of attention. Not counted are memory, membranes, norms, '
    'biases, pooling, residual additions and softmax.',
    'A layer accumulates if its inputs are whole numbers in all samples: ACs = mean input x MACs of all time steps. Of '
    'binary spikes the mean is the firing rate. SEW-ADD sends integers, not binary spikes: a value of n accumulates n '
    'times.',
    'All other layers multiply, also where an input is 0; and so does a layer that reads a static image. What is the '
    'same in every time step, as the first convolution of a static image, is computed once and counted once.',
    'Integers of neurons (I-LIF, SFA) are unfolded into binary spikes: as many of D steps fire as the integer says.',
    'A product of two spike tensors, as in attention, accumulates for each spike of the one that fires less.',
)


@dataclass(frozen=True)
class LayerCost:
    """Cost of a layer for one sample in all time steps, mean over the samples.

    Attributes:
        name: Path of the layer; of a product of two activations, path of the module that computes it and ``:product1``,
            ``:product2``, ...
        kind: ``'conv'``, ``'linear'`` or ``'product'``.
        input: What its input was in all samples: ``'spikes'`` (0 and 1), ``'integers'`` (whole numbers, as after
            SEW-ADD or of event frames), ``'real'``, or ``'image'``, a static image. Of a product: the operand that
            drives it.
        macs: Multiply-accumulates if nothing is skipped, borders that are padded included.
        firing_rate: Mean of the input over its elements and time steps; ``None`` where the layer multiplies.
        nonzero: Share of the input's elements that are not zero.
        synops: Accumulates, ``firing_rate * macs``; 0 where the layer multiplies.
        synops_exact: Accumulates counted one by one: inputs near a padded border reach fewer outputs.
        energy: In joule, from ``synops``, or from ``macs`` where the layer multiplies.
    """

    name: str
    kind: str
    input: str
    macs: float
    firing_rate: Optional[float]
    nonzero: float
    synops: float
    synops_exact: float
    energy: float

    @property
    def accumulates(self) -> bool:
        """Whether the layer adds weights, and does not multiply."""
        return self.firing_rate is not None


@dataclass(frozen=True)
class NeuronActivity:
    """How often the neurons of a layer fire, over all samples.

    Attributes:
        name: Path of the layer.
        firing_rate: Spikes per neuron and time step.
        neurons: Number of neurons.
        dead: How many of them never spike.
        saturated: How many of them spike in every step.
        channels: Number of channels.
        dead_channels: Indices of channels of which no neuron ever spikes.
        saturated_channels: Indices of channels of which all neurons spike in every step.
    """

    name: str
    firing_rate: float
    neurons: int
    dead: int
    saturated: int
    channels: int
    dead_channels: List[int] = field(default_factory=list)
    saturated_channels: List[int] = field(default_factory=list)


@dataclass(frozen=True)
class NetworkCost:
    """Cost of a network for one sample in all time steps, mean over the samples. Iterates over its layers.

    Attributes:
        layers: In the order in which they run.
        neurons: In the order in which they run; empty for an ANN.
        samples: Number of samples.
        time_steps: T; ``None`` for an ANN.
        energies: Energy of each sample in joule, in their order; empty where samples were not measured one by one.
    """

    layers: List[LayerCost]
    neurons: List[NeuronActivity]
    samples: int
    time_steps: Optional[int]
    energies: List[float] = field(default_factory=list)

    def __iter__(self) -> Iterator[LayerCost]:
        return iter(self.layers)

    @property
    def macs(self) -> float:
        """Multiply-accumulates if nothing is skipped, as :func:`bkdsnn.evaluation.measure_complexity` counts them.

        Of neurons that send integers, those of the unfolded network: layers behind them run D times a step.
        """
        return sum(layer.macs for layer in self.layers)

    @property
    def multiplied(self) -> float:
        """Multiply-accumulates of the layers that multiply."""
        return sum(layer.macs for layer in self.layers if not layer.accumulates)

    @property
    def synops(self) -> float:
        """Accumulates of the layers that accumulate."""
        return sum(layer.synops for layer in self.layers)

    @property
    def synops_exact(self) -> float:
        """Accumulates counted one by one."""
        return sum(layer.synops_exact for layer in self.layers)

    @property
    def energy(self) -> float:
        """In joule."""
        return sum(layer.energy for layer in self.layers)

    @property
    def energy_binary_only(self) -> float:
        """In joule, if only binary spikes accumulate and integers are multiplied, as some papers count."""
        return sum(MAC_ENERGY * layer.macs if layer.input == 'integers' else layer.energy for layer in self.layers)

    @property
    def firing_rate(self) -> Optional[float]:
        """Spikes per neuron and time step; ``None`` without neurons."""
        return mean_rate(self.neurons)

    def to_dict(self) -> dict:
        """Everything as numbers, strings, lists and dicts, for JSON; units as above."""
        totals = ('macs', 'multiplied', 'synops', 'synops_exact', 'energy', 'energy_binary_only', 'firing_rate')
        return {**{name: getattr(self, name) for name in totals}, **asdict(self)}


def mean_rate(neurons: List[NeuronActivity]) -> Optional[float]:
    """Spikes per neuron and time step over several layers; ``None`` if there are none."""
    count = sum(layer.neurons for layer in neurons)
    return sum(layer.firing_rate * layer.neurons for layer in neurons) / count if count else None


def rates_by_stage(neurons: List[NeuronActivity], depth: int = 2) -> List[Tuple[str, float]]:
    """Firing rates by the first ``depth`` names of the path, such as ``'backbone.layer1'``, in order."""
    stages: dict = {}
    for layer in neurons:
        stages.setdefault('.'.join(layer.name.split('.')[:depth]), []).append(layer)
    return [(stage, mean_rate(layers)) for stage, layers in stages.items()]
