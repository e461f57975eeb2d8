"""Pictures that benchmarks draw."""
import argparse
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Iterator, Tuple

from bkdsnn.utils.atomic import write_atomically


def picture_file(path: str) -> Path:
    """Type of an argument that names a picture."""
    path = Path(path)
    if path.suffix not in ('.svg', '.png') or not path.resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f'{str(path)!r} must end in .svg or .png, in a folder that exists.')
    return path


@contextmanager
def picture(path: Path, size: Tuple[float, float]) -> Iterator:
    """A figure to draw on, which is written at the end of the block; the same lines give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    from bkdsnn.visualization.figures import RC
    with matplotlib.rc_context({**RC, 'svg.hashsalt': path.stem}):
        figure = Figure(figsize=size, layout='constrained')
        yield figure
        metadata = dict(Date=None, Creator=None) if path.suffix == '.svg' else None
        write_atomically(path, partial(figure.savefig, format=path.suffix[1:], facecolor='white', dpi=150,
                                       metadata=metadata))
