"""One self-contained page, and one picture, about the runs of a comparison."""
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Dict, List, Optional

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import sections
from .figures import (
    RC,
    classification_curves,
    draw_accuracy,
    draw_curves,
    feature_mosaic,
    feature_range,
    picture_of,
    val_curves,
)
from .probes import (
    FeatureTrace,
    SpikeTrace,
    TestBatch,
    load_distiller,
    load_student,
    predict,
    trace_features,
    trace_spikes,
)
from .report_data import DISTILLED, Comparison

TEMPLATE = Path(__file__).parent / 'report_template.html'
IMAGES = 3


@dataclass
class Report:
    """Everything that is shown.

    Attributes:
        comparison: Accuracies and logs.
        batch: Test images.
        chosen: Indices of the images in the batch for which spikes are shown.
        spikes: By method, for the first seed.
        parameters: Of the student.
        features: Of the blurred distillation, for the first images of the batch; ``None`` where there is no such run.
    """

    comparison: Comparison
    batch: TestBatch
    chosen: List[int]
    spikes: Dict[str, SpikeTrace]
    parameters: int
    features: Optional[FeatureTrace]

    @classmethod
    def gather(cls, folder: str) -> 'Report':
        """Read a folder with ``summary.json`` and runs, and try the networks on test images.

        Raises:
            FileNotFoundError: If there is no summary, no run, or no teacher; the message names the command.
            ValueError: If the summary is damaged or lacks the baseline.
        """
        comparison = Comparison.read(folder)
        batch = TestBatch.of(comparison.plain.runs[0])
        networks = {method.name: load_student(method.runs[0]) for method in comparison.shown}
        chosen = _choose([predict(network, batch.data) for network in networks.values()])
        spikes = {name: trace_spikes(network, batch.data, chosen) for name, network in networks.items()}
        parameters = sum(p.numel() for p in networks[comparison.plain.name].parameters())
        return cls(comparison, batch, chosen, spikes, parameters, _features(comparison, batch))

    def page(self) -> str:
        """The page as HTML."""
        parts = [sections.headline(self.comparison), sections.accuracy(self.comparison),
                 sections.learning(self.comparison), sections.loss_terms(self.comparison),
                 sections.spikes(self.batch, self.chosen, self.spikes)]
        if self.features is not None:
            parts.append(sections.features(self.batch, self.features))
        config = self.comparison.plain.runs[0].config
        steps = len(next(iter(self.spikes.values())).scores)
        subtitle = (f'Data: {config.test_dataloader.dataset.type}. Student: spiking network with {self.parameters:,} '
                    f'parameters, {steps} time steps, {config.train_cfg.max_epochs} epochs. Runs: '
                    f'{self.comparison.folder}.')
        return Template(TEMPLATE.read_text(encoding='utf-8')).substitute(
            title='Distilled and plain spiking networks', subtitle=escape(subtitle),
            sections='\n'.join(part for part in parts if part))

    def picture(self) -> Figure:
        """Accuracy, learning curves and, with a blurred distillation, features side by side: 1600 x 600 pixels."""
        with matplotlib.rc_context(RC):
            figure = Figure(figsize=(16, 6), dpi=100, layout='constrained', facecolor='white')
            panels = figure.subfigures(1, 3, width_ratios=[1, 1.15, 1.9]) if self.features else figure.subfigures(1, 2)
            draw_accuracy(panels[0].subplots(), self.comparison)
            panels[0].suptitle('Test accuracy')
            top, bottom = panels[1].subplots(2, 1)
            draw_curves(top, val_curves(self.comparison.shown), 'validation\naccuracy (%)', markers=True)
            draw_curves(bottom, classification_curves(self.comparison.shown), 'training\ncross-entropy', markers=False)
            top.set_xlabel('')
            panels[1].suptitle('Learning')
            if self.features is not None:
                self._draw_features(panels[2])
        return figure

    def _draw_features(self, panel: Figure) -> None:
        trace = self.features
        student, teacher = feature_range(trace.student), feature_range(trace.restored, trace.teacher)
        # Wider gaps than those between channels, or the mosaics would look like one.
        grid = panel.add_gridspec(2, 3, width_ratios=[0.5, 1, 1], wspace=0.12, hspace=0.05)
        shown = [(grid[:, 0], picture_of(self.batch.images[0]), 'test image'),
                 (grid[0, 1], feature_mosaic(trace.student[0], *student), "student's feature"),
                 (grid[0, 2], feature_mosaic(trace.student[0], *student, trace.mask[0]), 'blurred'),
                 (grid[1, 1], feature_mosaic(trace.restored[0], *teacher), 'restored'),
                 (grid[1, 2], feature_mosaic(trace.teacher[0], *teacher), "teacher's feature")]
        for cell, image, title in shown:
            ax: Axes = panel.add_subplot(cell)
            ax.imshow(image, interpolation='nearest')
            ax.set_title(title, fontsize=12)
            ax.axis('off')
        panel.suptitle('Blurred, restored, compared')


def write_report(folder: str, out: Optional[str] = None, picture: Optional[str] = None) -> Path:
    """Write the page on a folder of runs.

    Args:
        folder: Holds ``summary.json``, ``teacher/`` and ``<method>/seed<k>/``.
        out: Path of the page; by default ``report.html`` in the folder.
        picture: Path of a PNG with the main figures; ``None`` writes none.

    Returns:
        Path of the page.
    """
    report = Report.gather(folder)
    path = Path(out) if out else Path(folder) / 'report.html'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.page(), encoding='utf-8')
    if picture:
        Path(picture).parent.mkdir(parents=True, exist_ok=True)
        report.picture().savefig(picture)
    return path


def _choose(predictions: List[torch.Tensor]) -> List[int]:
    """The first images of a batch and, of two networks, the first image on which they disagree."""
    chosen = list(range(min(IMAGES, len(predictions[0]))))
    differing = (predictions[0] != predictions[-1]).nonzero().flatten().tolist()
    return chosen + [i for i in differing[:1] if i not in chosen]


def _features(comparison: Comparison, batch: TestBatch) -> Optional[FeatureTrace]:
    for name in DISTILLED:
        method = comparison.methods.get(name)
        if method is not None and method.runs:
            distiller = load_distiller(method.runs[0], comparison.folder / 'teacher')
            return trace_features(distiller, batch.data, list(range(min(IMAGES, len(batch.labels)))))
    return None
