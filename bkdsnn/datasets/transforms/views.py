"""Two framings of the same events, one for the student and one for the teacher."""
from dataclasses import dataclass

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform

VIEWS = ('student', 'teacher')


@TRANSFORMS.register_module()
@dataclass
class TwoViews(EventTransform):
    """Frames one recording twice: ``frames`` becomes a dict with the entries ``student`` and ``teacher``.

    Args:
        student: Config of the framing that the student sees, such as ``dict(type='EventsToFrames', time_steps=4)``.
        teacher: The teacher's.

    Raises:
        ValueError: If what should frame makes no frames, or is random, since the views would then show different
            scenes. Augment the events before, or the frames after.
    """

    student: dict
    teacher: dict
    random = False
    makes_frames = True

    def __post_init__(self) -> None:
        for view in VIEWS:
            framing = getattr(self, view)
            framing = TRANSFORMS.build(framing) if isinstance(framing, dict) else framing
            if getattr(framing, 'random', True):
                raise ValueError(f'TwoViews: {view}={type(framing).__name__} draws at random, so that the views would '
                                 'differ. Put augmentations of events before TwoViews and those of frames after it.')
            if not framing.makes_frames:
                raise ValueError(f'TwoViews: {view}={type(framing).__name__} makes no frames.')
            setattr(self, view, framing)

    def transform(self, results: dict) -> dict:
        """Add ``frames``, a dict."""
        return dict(results, frames={view: getattr(self, view)(dict(results))['frames'] for view in VIEWS})
