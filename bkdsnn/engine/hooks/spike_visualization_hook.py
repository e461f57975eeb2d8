"""Pictures of the student's neurons while it learns."""
from typing import Optional, Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bkdsnn.registry import HOOKS
from bkdsnn.visualization import SpikeVisualizer
from bkdsnn.visualization.recording import record, student_of
from bkdsnn.visualization.samples import take_sample


@HOOKS.register_module()
class SpikeVisualizationHook(Hook):
    """Draws what the network, or a distiller's student, does on a few validation samples, before and during training.

    Spikes, membranes and firing rates of the layers and class activation go to the backends of the run's
    :class:`bkdsnn.visualization.SpikeVisualizer`. Training is not changed by it. In several processes the first draws.

    Args:
        layers: Paths of neurons in the student, such as ``'backbone.layer1.0.unit2.neuron'``; ``None`` are the last
            ones of each stage.
        interval: Epochs between two drawings.
        samples: Indices into the validation data.
        neurons: Flat indices into each layer; ``None`` are the most active ones.

    Raises:
        ValueError: Before the first epoch, if there is no such layer, sample or neuron, there is no validation data, or
            the visualizer is another one.
    """

    def __init__(self, layers: Optional[Sequence[str]] = None, interval: int = 10, samples: Sequence[int] = (0, 1),
                 neurons: Optional[Sequence[int]] = None) -> None:
        if interval < 1:
            raise ValueError(f'SpikeVisualizationHook: interval={interval} must be at least 1 epoch.')
        self.layers, self.interval, self.samples, self.neurons = layers, interval, samples, neurons

    def before_train(self, runner: Runner) -> None:
        if not isinstance(runner.visualizer, SpikeVisualizer):
            raise ValueError(f'SpikeVisualizationHook needs visualizer=dict(type="SpikeVisualizer", vis_backends=...), '
                             f'but the run has a {type(runner.visualizer).__name__}.')
        if runner.val_loop is None:
            raise ValueError('SpikeVisualizationHook draws samples of the validation data, but there is none. '
                             'Validate, or drop the hook from custom_hooks.')
        # All that can be wrong is wrong here already.
        self.draw(runner, runner.epoch)

    def after_train_epoch(self, runner: Runner) -> None:
        if self.every_n_epochs(runner, self.interval):
            self.draw(runner, runner.epoch + 1)

    @master_only
    def draw(self, runner: Runner, epoch: int) -> None:
        """Send the pictures of all samples, named ``sample<index>_<picture>``."""
        dataset, network = runner.val_loop.dataloader.dataset, student_of(runner.model)
        classes, was_training = dataset.metainfo.get('classes'), network.training
        network.eval()
        try:
            for idx in self.samples:
                sample = take_sample(dataset, idx)
                recording = record(network, sample.data, self.layers)
                runner.visualizer.add_recording(f'sample{idx}', recording, sample, self.neurons, classes, epoch)
        finally:
            network.train(was_training)
