"""The main figures as one picture."""
from typing import Union

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..visualization.figures import RC, feature_mosaic, feature_range, looks_of
from .bench import Missing
from .charts import draw_accuracy, draw_curves
from .gather import Inside
from .groups import Comparison
from .traces import FeatureTrace


def draw_picture(comparison: Comparison, inside: Union[Inside, Missing]) -> Figure:
    """Accuracy, learning curves and, with a blurred distillation, features side by side: 1600 x 600 pixels."""
    trace = None if isinstance(inside, Missing) else inside.features
    looks = looks_of([group.name for group in comparison.groups])
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(16, 6), dpi=100, layout='constrained', facecolor='white')
        has_features = isinstance(trace, FeatureTrace)
        panels = figure.subfigures(1, 3, width_ratios=[1, 1.15, 1.9]) if has_features else figure.subfigures(1, 2)
        if any(group.accuracy for group in comparison.groups):
            draw_accuracy(panels[0].subplots(), comparison)
            panels[0].suptitle('Test accuracy')
        top, bottom = panels[1].subplots(2, 1)
        draw_curves(top, comparison.val_curves(comparison.shown), looks, 'validation\naccuracy (%)', markers=True)
        draw_curves(bottom, comparison.own_losses(comparison.shown), looks, 'training\ncross-entropy', markers=False)
        top.set_xlabel('')
        top.legend()
        bottom.legend()
        panels[1].suptitle('Learning')
        if has_features:
            _draw_features(panels[2], inside, trace)
    return figure


def _draw_features(panel: Figure, inside: Inside, trace: FeatureTrace) -> None:
    student, teacher = feature_range(trace.student), feature_range(trace.restored, trace.teacher)
    # Wider gaps than those between channels, or the mosaics would look like one.
    grid = panel.add_gridspec(2, 3, width_ratios=[0.5, 1, 1], wspace=0.12, hspace=0.05)
    shown = [(grid[:, 0], inside.batch.picture(0), 'test image'),
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
