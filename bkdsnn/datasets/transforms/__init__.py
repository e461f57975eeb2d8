"""Transforms of events: framing, augmentation, packing."""
from .augment import RandomEventFlip, RandomFrameRoll
from .frames import EventsToFrames, events_to_frames
from .packing import PackEvents

__all__ = ['EventsToFrames', 'PackEvents', 'RandomEventFlip', 'RandomFrameRoll', 'events_to_frames']
