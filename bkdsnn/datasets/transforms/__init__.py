"""Transforms of events, frames and images, framing, and packing."""
from .base import EventTransform
from .central_square import CentralSquare
from .dropping import CropTime, RandomAreaDrop, RandomEventDrop, RandomTimeDrop
from .frame_augment import (
    RandomFrameCutout,
    RandomFrameFlip,
    RandomFrameRoll,
    RandomFrameRotate,
    RandomFrameShear,
    RandomFrameTranslate,
)
from .frames import EventsToFrames, events_to_frames
from .geometry import (
    CenterEventCrop,
    RandomEventCrop,
    RandomEventFlip,
    RandomEventRoll,
    RandomEventRotate,
    RandomEventScale,
    ResizeEvents,
)
from .noise import Denoise, RandomSpatialJitter, RandomTimeJitter
from .packing import PackEvents
from .polarity import MergePolarities, RandomPolarityFlip, RandomTimeReversal
from .time_steps import RandomTimeSteps
from .time_surface import EventsToTimeSurface
from .views import TwoViews
from .voxel_grid import EventsToVoxelGrid

__all__ = [
    'CenterEventCrop', 'CentralSquare', 'CropTime', 'Denoise', 'EventTransform', 'EventsToFrames',
    'EventsToTimeSurface', 'EventsToVoxelGrid', 'MergePolarities', 'PackEvents', 'RandomAreaDrop', 'RandomEventCrop',
    'RandomEventDrop', 'RandomEventFlip', 'RandomEventRoll', 'RandomEventRotate', 'RandomEventScale',
    'RandomFrameCutout', 'RandomFrameFlip', 'RandomFrameRoll', 'RandomFrameRotate', 'RandomFrameShear',
    'RandomFrameTranslate', 'RandomPolarityFlip', 'RandomSpatialJitter', 'RandomTimeDrop', 'RandomTimeJitter',
    'RandomTimeReversal', 'RandomTimeSteps', 'ResizeEvents', 'TwoViews', 'events_to_frames'
]
