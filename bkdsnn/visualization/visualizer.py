"""A visualizer that sends pictures of spiking neurons wherever mmengine's sends images: files, TensorBoard, ..."""
from typing import Optional, Sequence

import numpy as np
from matplotlib.figure import Figure
from mmengine.dist import master_only
from mmpretrain.visualization import UniversalVisualizer

from bkdsnn.registry import VISUALIZERS

from .heat import draw_cam, draw_rate_map
from .pictures import draw_recording
from .recording import Recording
from .samples import Sample
from .spikes import draw_membranes, draw_raster, figure_image


@VISUALIZERS.register_module()
class SpikeVisualizer(UniversalVisualizer):
    """mmpretrain's visualizer, and pictures of spiking neurons for all its ``vis_backends``.

    Each method takes the picture's name, what is to be drawn, and the step (the epoch, say). Of several processes, the
    first one draws.
    """

    @master_only
    def add_figure(self, name: str, figure: Figure, step: int = 0) -> None:
        """Send a figure.

        Raises:
            ValueError: If the name has a slash: the local backend would drop the picture without a word.
        """
        if '/' in name:
            raise ValueError(f'the name {name!r} of a picture must not hold a slash, as it becomes a file name.')
        self.add_image(name, figure_image(figure), step)

    @master_only
    def add_spike_raster(self, name: str, spikes: np.ndarray, step: int = 0, **kwargs) -> None:
        """Send a raster of spikes (T, N); see :func:`bkdsnn.visualization.spikes.draw_raster`."""
        self.add_figure(name, draw_raster(spikes, **kwargs), step)

    @master_only
    def add_membranes(self, name: str, charged: np.ndarray, spikes: np.ndarray, threshold: float,
                      reset: Optional[float], step: int = 0, **kwargs) -> None:
        """Send membranes (T, N); see :func:`bkdsnn.visualization.spikes.draw_membranes`."""
        self.add_figure(name, draw_membranes(charged, spikes, threshold, reset, **kwargs), step)

    @master_only
    def add_rate_map(self, name: str, image: np.ndarray, rate: np.ndarray, step: int = 0, **kwargs) -> None:
        """Send firing rates (h, w) over an image; see :func:`bkdsnn.visualization.heat.draw_rate_map`."""
        self.add_figure(name, draw_rate_map(image, rate, **kwargs), step)

    @master_only
    def add_cam(self, name: str, image: np.ndarray, maps: np.ndarray, scores: np.ndarray, step: int = 0,
                **kwargs) -> None:
        """Send class activation (T, h, w) over an image; see :func:`bkdsnn.visualization.heat.draw_cam`."""
        self.add_figure(name, draw_cam(image, maps, scores, **kwargs), step)

    @master_only
    def add_recording(self, name: str, recording: Recording, sample: Sample, neurons: Optional[Sequence[int]] = None,
                      classes: Optional[Sequence[str]] = None, step: int = 0) -> None:
        """Send all pictures of a network on one sample, as ``<name>_<picture>``.

        Arguments and names of the pictures are those of :func:`bkdsnn.visualization.pictures.draw_recording`.
        """
        for picture, figure in draw_recording(recording, sample, neurons, classes).items():
            self.add_figure(f'{name}_{picture}', figure, step)
