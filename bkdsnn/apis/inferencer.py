"""Predictions of trained networks for images and recordings."""
import logging
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from ..config.data import datasets_in
from ..datasets import pipelines
from ..datasets.event_windows import cut_windows
from ..evaluation import input_shape_of, running_scores
from ..evaluation.spike_counter import SpikeCounter
from ..models import Stream
from ..models.neurons import SpikingNode
from ..models.teachers.sources import resizing_of
from ..registry import DATASETS
from ..utils.colours import channel_order_of
from ..utils.progress import track_if_long
from ..visualization.predictions import PredictionDrawer
from .model import build_model
from .readers import EventReader, ImageReader, Item, Reader, list_items
from .running import run_at_once, run_until_sure


class Sample(NamedTuple):
    """One input that was read.

    Attributes:
        index: Of the input.
        packed: ``inputs`` and ``data_samples``.
        picture: RGB (H, W, 3), if it is to be drawn.
    """

    index: int
    packed: dict
    picture: Optional[np.ndarray]


class SpikingInferencer:
    """Predicts classes with a network, in the manner of mmpretrain's inferencers.

    An input that cannot be read is reported in its place, and the others are done. Threads must call it in turn, as any
    network here.

    Args:
        model: Name (see :func:`bkdsnn.list_models`), config or path of one, checkpoint of ``publish_model.py``, or a
            network from :func:`bkdsnn.get_model`. It may be an ANN.
        pretrained: As in :func:`bkdsnn.get_model`. A network given as such keeps its weights unless a file is named.
        device: Where to run; ``None`` takes a GPU if there is one, and leaves a network where it is.
        classes: Names of the classes, instead of those that the checkpoint or the data set has.
        sensor_size: Width and height of the event camera, instead of those of the training data.
        fuse_conv_bn: Whether to run a copy whose batch norms are joined with its convolutions, see
            :func:`bkdsnn.models.layers.fuse_conv_bn`.
        spike_driven: Whether to run a copy whose neurons emit binary spikes instead of integers, see
            :func:`bkdsnn.models.spike_driven`.
        sparse_convs: Whether to run a copy whose convolutions skip the zeros of spikes, on CPUs, see
            :func:`bkdsnn.models.layers.skipping_zeros`.

    Raises:
        ValueError: If there is no such model or device, the weights do not fit, or the network takes events and nothing
            says from what sensor.

    Example:
        >>> inferencer = SpikingInferencer('demo/mixed')
        >>> inferencer('digits/', batch_size=32, show_dir='pictures')[0]['pred_class']
        '7'
    """

    def __init__(self,
                 model: Union[str, Path, Config, nn.Module],
                 pretrained: Union[bool, str, Path] = True,
                 device: Union[str, torch.device, None] = None,
                 classes: Optional[Sequence[str]] = None,
                 sensor_size: Optional[Sequence[int]] = None,
                 fuse_conv_bn: bool = False,
                 spike_driven: bool = False,
                 sparse_convs: bool = False) -> None:
        self.model = build_model(model, pretrained, device, fuse_conv_bn=fuse_conv_bn, spike_driven=spike_driven,
                                 sparse_convs=sparse_convs)
        self.config = self.model.cfg
        self.pipeline = pipelines.inference_pipeline(self.config)
        self._framing = pipelines.framing_of(self.pipeline)
        self._said: Set[str] = set()
        meta = getattr(self.model, 'dataset_meta', None) or {}
        number = getattr(getattr(self.model, 'head', None), 'num_classes', None)
        if classes is not None and number and len(classes) != number:
            raise ValueError(f'classes has {len(classes)} names, but the network has {number} classes.')
        self.classes = classes or meta.get('classes') or _classes_of(self.config)
        self.is_spiking = any(isinstance(module, SpikingNode) for module in self.model.modules())
        self.reader = self._make_reader(sensor_size or meta.get('sensor_size'))

    @property
    def takes_events(self) -> bool:
        """Whether inputs are recordings of an event camera."""
        return self._framing is not None

    @property
    def time_steps(self) -> Optional[int]:
        """Time steps that the network was trained with; ``None`` for an ANN."""
        if not self.is_spiking:
            return None
        return self._framing.time_steps if self.takes_events else getattr(self.model.backbone, 'T', None)

    @property
    def channel_order(self) -> Optional[str]:
        """Order of colours in what the network was tested on, ``'bgr'`` or ``'rgb'``; ``None`` where nobody says."""
        stated = getattr(self.model.data_preprocessor, 'channel_order', None)
        return stated or channel_order_of(self.config.test_dataloader.dataset, self.config.get('default_scope'))

    def _make_reader(self, sensor_size: Optional[Sequence[int]]) -> Reader:
        if self.takes_events:
            if sensor_size is None:
                raise ValueError('neither the weights nor an argument say from what sensor events come; give '
                                 'sensor_size=(width, height).')
            return EventReader((*map(int, sensor_size), 2)[:3])
        first = next((module for module in self.model.modules() if isinstance(module, nn.Conv2d)), None)
        resized = resizing_of(pipelines.test_steps(self.config))[0]
        size = None if resized else (input_shape_of(self.config) or ())[1:] or None
        return ImageReader(3 if first is None else first.in_channels, self.channel_order == 'rgb', size,
                           partial(self._say_once, 'size'))

    def _say_once(self, what: str, line: str) -> None:
        if what not in self._said:
            self._said.add(what)
            print_log(f'SpikingInferencer: {line}', logger='current', level=logging.WARNING)

    def __call__(self,
                 inputs: Any,
                 return_datasamples: bool = False,
                 batch_size: int = 1,
                 T: Optional[int] = None,
                 threshold: Optional[float] = None,
                 show: bool = False,
                 show_dir: Union[str, Path, None] = None,
                 wait_time: float = 0,
                 draw_score: bool = True) -> Union[List[dict], List[DataSample]]:
        """Predict.

        Args:
            inputs: Images or recordings, whichever the network takes, see :mod:`bkdsnn.apis.readers`: a path, a folder,
                an array, a PIL image, or a list of these.
            return_datasamples: Whether to return mmpretrain's data samples instead of dicts.
            batch_size: How many inputs run together.
            T: Time steps, where they shall be others than in training.
            threshold: Confidence at which a sample is done; the network then runs step by step, and its neurons spike
                no more for samples that are done. ``None`` takes all steps in one pass.
            show: Whether to open a window for each input, with its prediction.
            show_dir: Folder to save such pictures in.
            wait_time: Seconds that a window stays; 0 waits for a key.
            draw_score: Whether to write the score into the picture.

        Returns:
            For each input a dict with ``name``, ``pred_label``, ``pred_class`` (where classes have names),
            ``pred_score`` and ``pred_scores`` (K, ); of a spiking network also ``steps`` taken, ``step_scores``
            (steps, K) of the mean logits up to each step, and ``spikes``, the number that its neurons sent. Where an
            input cannot be read, ``name`` and ``error``.

        Raises:
            ValueError: If an argument is out of range, a folder holds nothing to read, or there is no display.
        """
        self._check_steps(T, threshold)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size={batch_size!r} must be a whole number, at least 1.')
        items = list_items(inputs, self.reader.extensions)
        drawer = PredictionDrawer(self.classes, show, show_dir, wait_time, draw_score) if show or show_dir else None
        predicted: List[Optional[DataSample]] = [None] * len(items)
        reading = track_if_long(items, 'Inference', len(items))
        for batch in self._batches(reading, batch_size, T, predicted, drawer is not None):
            for sample, prediction in zip(batch, self._predict([sample.packed for sample in batch], T, threshold)):
                predicted[sample.index] = prediction
                if drawer:
                    drawer.draw(sample.picture, prediction, items[sample.index].name)
        if show:
            drawer.close()
        if return_datasamples:
            return predicted
        return [dict(name=item.name, **self._as_dict(prediction)) for item, prediction in zip(items, predicted)]

    def _check_steps(self, T: Optional[int], threshold: Optional[float]) -> None:
        if T is None and threshold is None:
            return
        if not self.is_spiking:
            raise ValueError(f'T={T!r}, threshold={threshold!r}: {type(self.model).__name__} is an ANN, which has no '
                             'time steps.')
        if T is not None and (isinstance(T, bool) or not isinstance(T, int) or T < 1):
            raise ValueError(f'T={T!r} must be a whole number of time steps, at least 1.')
        if threshold is not None and not threshold > 0:
            raise ValueError(f'threshold={threshold!r} must be a probability above 0, such as 0.9.')
        if T is None and self.time_steps is None:
            raise ValueError('the network does not say how many time steps it was trained with; give T.')
        if T not in (None, self.time_steps):
            line = f'the network runs {T} time steps, and was trained with {self.time_steps}.'
            if self.takes_events and T > self.time_steps:
                line += ' A frame then holds fewer events, which may not drive the neurons.'
            self._say_once(f'T={T}', line)

    def _batches(self, items: Iterable[Item], batch_size: int, T: Optional[int], failed: List[Optional[DataSample]],
                 with_pictures: bool) -> Iterator[List[Sample]]:
        """Samples of one shape; where an item cannot be read, ``failed`` gets the reason in its place."""
        pipeline = pipelines.with_time_steps(self.pipeline, T) if T and self.takes_events else self.pipeline
        batch: List[Sample] = []
        for index, item in enumerate(items):
            try:
                results = self.reader.read(item.source)
                picture = self.reader.picture(results) if with_pictures else None
                sample = Sample(index, pipelines.run(pipeline, results), picture)
                if self.takes_events and not sample.packed['inputs'].any():
                    raise ValueError('the pipeline of test_dataloader leaves no event of the recording.')
            except Exception as error:  # whatever is wrong with one input, the others can be done
                failed[index] = DataSample(metainfo=dict(error=_with_name(error, item.name)))
                continue
            if batch and (len(batch) == batch_size or _shape(sample) != _shape(batch[0])):
                yield batch
                batch = []
            batch.append(sample)
        if batch:
            yield batch

    @torch.no_grad()
    def _predict(self, packed: List[dict], T: Optional[int], threshold: Optional[float]) -> List[DataSample]:
        data = self.model.data_preprocessor(default_collate(packed), False)
        inputs, samples = data['inputs'], data['data_samples']
        if not self.is_spiking:
            return [sample.cpu() for sample in self.model(inputs, samples, mode='predict')]
        if threshold is not None:
            logits, spikes = run_until_sure(self.model, inputs, T or self.time_steps, threshold)
        else:
            logits, spikes = run_at_once(self.model, inputs, T)
        if logits[0].dim() != 2:
            raise ValueError(f'an inferencer answers with classes, but the network gives {tuple(logits[0].shape)} for '
                             "an input, not logits (T, K); call it with mode='predict'.")
        for sample, own_logits, own_spikes in zip(samples, logits, spikes.tolist()):
            scores = running_scores(own_logits.cpu().unsqueeze(1)).squeeze(1)
            sample.set_pred_score(scores[-1]).set_pred_label(scores[-1].argmax())
            sample.set_field(scores, 'step_scores')
            sample.set_field(own_spikes, 'spikes', field_type='metainfo')
        return [sample.cpu() for sample in samples]

    def _as_dict(self, prediction: DataSample) -> dict:
        if 'error' in prediction:
            return dict(error=prediction.error)
        label = int(prediction.pred_label)
        result = dict(pred_label=label, pred_score=float(prediction.pred_score[label]),
                      pred_scores=prediction.pred_score.numpy())
        if self.classes is not None:
            result['pred_class'] = str(self.classes[label])
        if 'step_scores' in prediction:
            result.update(steps=len(prediction.step_scores), step_scores=prediction.step_scores.numpy(),
                          spikes=prediction.spikes)
        return result

    def stream(self, chunks: Iterable[np.ndarray], window: Dict[str, int],
               last: Optional[int] = None) -> Iterator[dict]:
        """Predict while events come in: each window of them becomes a frame, and the network runs one step on it.

        Args:
            chunks: Structured arrays of events, of any length, in the order of time.
            window: ``dict(duration=...)`` in microseconds or ``dict(count=...)``, see
                :func:`~bkdsnn.datasets.event_windows.cut_windows`.
            last: Over how many of the latest steps logits are averaged; by default as many as in training, so that the
                prediction after as many frames is that of a whole recording.

        Yields:
            After each frame a dict with ``step`` (from 1), ``start`` and ``stop`` of the window in microseconds, the
            number of its ``events``, ``pred_label``, ``pred_class``, ``pred_score``, ``pred_scores`` (K, ) and
            ``spikes`` of this step.

        Raises:
            ValueError: If the network takes no events, its frames cannot be made as events come in, an argument is out
                of range, or a chunk does not fit the sensor or the order of time.
        """
        if not self.takes_events or not self.is_spiking:
            raise ValueError(f'{type(self.model).__name__} is not a spiking network for events, so it cannot follow a '
                             'stream of them.')
        last = self.time_steps if last is None else last
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise ValueError(f'last={last!r} must be a whole number of time steps, at least 1.')
        return self._stream(cut_windows(chunks, **window), pipelines.one_frame_each(self.pipeline), last)

    def _stream(self, windows: Iterable, pipeline: pipelines.Pipeline, last: int) -> Iterator[dict]:
        network, logits = Stream(self.model), deque(maxlen=last)
        for step, (events, start, stop) in enumerate(windows, 1):
            packed = pipelines.run(pipeline, self.reader.read(events, may_be_empty=True))
            frame = self.model.data_preprocessor(default_collate([packed]), False)['inputs'][:, 0]
            with SpikeCounter(self.model) as counter:
                logits.append(network.step(frame)[0])
                spikes = int(counter.take())
            scores = torch.stack(list(logits)).mean(0).softmax(-1).cpu()
            prediction = DataSample().set_pred_score(scores).set_pred_label(scores.argmax())
            yield dict(step=step, start=start, stop=stop, events=len(events), **self._as_dict(prediction),
                       spikes=spikes)


def inference_model(model: Union[str, Path, Config, nn.Module], inputs: Any, **kwargs) -> Union[dict, DataSample]:
    """Predict one image or recording, a shortcut for :class:`SpikingInferencer`.

    Args:
        model: As there.
        inputs: A path, an array or a PIL image.
        **kwargs: Arguments to build the inferencer, such as ``device``, and to call it, such as ``T``.

    Returns:
        Its dict, or sample with ``return_datasamples=True``; of several inputs, that of the first.

    Raises:
        ValueError: If it cannot be predicted.
    """
    names = ('pretrained', 'device', 'classes', 'sensor_size', 'fuse_conv_bn', 'spike_driven', 'sparse_convs')
    building = {key: kwargs.pop(key) for key in names if key in kwargs}
    result = SpikingInferencer(model, **building)(inputs, **kwargs)[0]
    if 'error' in result:  # a dict, or a sample
        raise ValueError(result.get('error'))
    return result


def _classes_of(cfg: Config) -> Optional[Sequence[str]]:
    """Names of the classes of a data set that always has the same."""
    kind = datasets_in(cfg.test_dataloader.dataset)[0].get('type')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'bkdsnn')):
        return getattr(kind and DATASETS.get(kind), 'METAINFO', {}).get('classes')


def _shape(sample: Sample) -> torch.Size:
    return sample.packed['inputs'].shape


def _with_name(error: Exception, name: str) -> str:
    text = str(error) or type(error).__name__
    return text if name in text else f'{name}: {text}'

