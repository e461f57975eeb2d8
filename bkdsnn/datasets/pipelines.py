"""The transforms of a config's test data, for inputs that come from elsewhere."""
import copy
from dataclasses import replace
from typing import Callable, List, Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..config.data import datasets_in, pipeline_in
from ..registry import TRANSFORMS
from .transforms import CropTime, EventsToFrames, EventTransform, TwoViews

Pipeline = List[Callable[[dict], dict]]


def test_steps(cfg: Config) -> List[dict]:
    """Configs of the transforms of ``test_dataloader``.

    Raises:
        ValueError: If there is none, or data sets that are tested together have different ones.
    """
    if cfg.get('test_dataloader') is None:
        raise ValueError('the config has no test_dataloader, which says how inputs are prepared; take one of configs/, '
                         'with these weights as pretrained.')
    pipelines = [pipeline_in(dataset) for dataset in datasets_in(cfg.test_dataloader.dataset)]
    if any(_after_loading(pipeline) != _after_loading(pipelines[0]) for pipeline in pipelines):
        raise ValueError('the data sets of test_dataloader have different pipelines, so that nothing says how inputs '
                         'are prepared; leave one data set in test_dataloader.dataset.')
    return pipelines[0]


def _after_loading(steps: List[dict]) -> List[dict]:
    return [step for step in steps if not step['type'].rpartition('.')[2].startswith('LoadImage')]


def inference_pipeline(cfg: Config) -> Pipeline:
    """The transforms of ``test_dataloader``, without what loads an image."""
    steps = _after_loading(test_steps(cfg))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'bkdsnn')):
        return [TRANSFORMS.build(copy.deepcopy(step)) for step in steps]


def run(pipeline: Pipeline, results: dict) -> dict:
    """Results after all transforms; of two views, the student's alone.

    Raises:
        ValueError: If a transform drops the sample.
    """
    for step in pipeline:
        results = step(results)
        if results is None:
            raise ValueError(f'{type(step).__name__} drops this sample.')
    inputs = results['inputs']
    return dict(results, inputs=inputs['student']) if isinstance(inputs, dict) else results


def framing_of(pipeline: Pipeline) -> Optional[EventTransform]:
    """What makes the frames that the network sees; ``None`` for images."""
    for step in pipeline:
        if getattr(step, 'makes_frames', False):
            return step.student if isinstance(step, TwoViews) else step
    return None


def with_framing(pipeline: Pipeline, framing: EventTransform) -> Pipeline:
    """The pipeline with another framing, that of a single view."""
    return [framing if getattr(step, 'makes_frames', False) else step for step in pipeline]


def with_time_steps(pipeline: Pipeline, time_steps: int) -> Pipeline:
    """The pipeline that makes another number of frames of a recording."""
    return with_framing(pipeline, replace(framing_of(pipeline), time_steps=time_steps))


def one_frame_each(pipeline: Pipeline) -> Pipeline:
    """The pipeline that makes one frame of all events of a window. A stream has no end, so ``CropTime`` is left out.

    Raises:
        ValueError: If frames are not counts, and so depend on more than the events of a window.
    """
    framing = framing_of(pipeline)
    if not isinstance(framing, EventsToFrames):
        raise ValueError(f'frames of {type(framing).__name__} depend on the whole recording, so they cannot be made as '
                         'events come in; a stream needs a network trained on EventsToFrames.')
    pipeline = [step for step in pipeline if not isinstance(step, CropTime)]
    return with_framing(pipeline, replace(framing, time_steps=1, by='count', window=None))
