"""Pictures with what a network says of them, by mmpretrain's visualizer."""
from pathlib import Path
from typing import Optional, Sequence, Set, Union

import matplotlib.pyplot as plt
import numpy as np
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

# Smaller pictures are enlarged, so that there is room for the text and the pixels can be seen.
SMALLEST = 224


def has_display() -> bool:
    """Whether matplotlib can open a window, or draw into a notebook."""
    try:
        figure = plt.figure()
    except Exception:  # each toolkit has its own
        return False
    plt.close(figure)
    return figure.canvas.required_interactive_framework is not None or 'inline' in plt.get_backend()


class PredictionDrawer:
    """Shows or saves inputs with their prediction.

    Args:
        classes: Names of the classes.
        show: Whether to open a window for each picture.
        show_dir: Folder for the pictures, ``<name of the input>.png``; it is made.
        wait_time: Seconds that a window stays; 0 waits for a key.
        draw_score: Whether to write the score beside the class.

    Raises:
        ValueError: If a window is asked for and there is no display.
    """

    def __init__(self, classes: Optional[Sequence[str]] = None, show: bool = False,
                 show_dir: Union[str, Path, None] = None, wait_time: float = 0, draw_score: bool = True) -> None:
        if show and not has_display():
            raise ValueError(f'show=True needs a display, and there is none (matplotlib uses {plt.get_backend()!r}). '
                             "Save the pictures instead: show_dir='pictures', or --show-dir pictures.")
        self.classes, self.show, self.wait_time, self.draw_score = classes, show, wait_time, draw_score
        self.folder = None if show_dir is None else Path(show_dir)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._visualizer = UniversalVisualizer()
        self._names: Set[str] = set()

    def draw(self, picture: np.ndarray, sample: DataSample, name: str) -> None:
        """Draw one prediction.

        Args:
            picture: RGB (H, W, 3).
            sample: With ``pred_label`` and ``pred_score``.
            name: Of the input.
        """
        scale = -(-SMALLEST // min(picture.shape[:2]))
        self._visualizer.visualize_cls(
            picture.repeat(scale, 0).repeat(scale, 1), sample, classes=self.classes, draw_gt=False,
            draw_score=self.draw_score, show=self.show, wait_time=self.wait_time, name=name,
            out_file=None if self.folder is None else str(self.folder / f'{self._unique(name)}.png'))

    def _unique(self, name: str) -> str:
        """Name of the picture; inputs of the same name in different folders are numbered."""
        stem = unique = Path(name).stem.replace(' ', '_')
        number = 1
        while unique in self._names:
            number += 1
            unique = f'{stem}_{number}'
        self._names.add(unique)
        return unique

    def close(self) -> None:
        """Close the window."""
        self._visualizer.close()
