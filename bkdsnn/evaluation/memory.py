"""Memory of a training step, predicted without computing it.

A real step runs on tensors without values: forward, losses, backward and the optimizer's step, at any batch size. What
lives at the moment with the most live bytes is sorted by what it is for.
"""
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Set, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from bkdsnn.models.distillers import Distiller
from bkdsnn.models.layers.compress import compress_spikes_in
from bkdsnn.models.layers.norm import CPUSyncBatchNorm2d
from bkdsnn.models.neurons import BaseNode
from bkdsnn.models.teachers.sources import find_network
from bkdsnn.registry import MODELS

from .complexity import input_shape_of
from .live_storages import LiveStorages

PARTS = ('weights', 'buffers', 'averaged weights', 'optimizer state', 'gradients', 'DDP buckets', 'batch', 'activations',
         'teacher weights', 'teacher activations', 'temporaries')
Shape = Tuple[int, ...]


@dataclass(frozen=True)
class MemoryPlan:
    """Predicted memory of one process at the peak of a training step.

    Attributes:
        batch_size: Samples of this process.
        parts: Bytes that live at the peak by what they are for, in the order of ``PARTS``. ``activations`` are what
            forward keeps for backward; ``temporaries`` what forward drops again or backward makes.
        modules: All activations that forward keeps, by the path of the module that made them, the largest first.
    """

    batch_size: int
    parts: Dict[str, int]
    modules: Dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes at the peak."""
        return sum(self.parts.values())


class MemoryPlanner:
    """Plans training steps of a config at any batch size.

    Args:
        cfg: Config with ``model`` and ``optim_wrapper``. No weights are loaded, not even the teacher's.
        shape: Of one sample, (C, H, W) or (T, P, H, W), or a dict with those of ``student`` and ``teacher``; by default
            what the config says.
        gpus: Number of processes. Several have DDP's buckets, and norms over all of them are not fused with neurons.

    Raises:
        ValueError: If the config does not say the shape, or has no ``optim_wrapper``.
    """

    def __init__(self, cfg: Config, shape: Union[Shape, Dict[str, Shape], None] = None, gpus: int = 1) -> None:
        shape = shape or training_shape(cfg)
        if shape is None:
            raise ValueError('the config does not say the shape of a sample; give --shape C H W, or T P H W for event '
                             'frames.')
        if cfg.get('optim_wrapper') is None:
            raise ValueError('the config has no optim_wrapper, so it trains nothing.')
        self.cfg, self.shape, self.gpus = cfg, shape, gpus
        self.amp = cfg.optim_wrapper.get('type') == 'AmpOptimWrapper'
        with self._scope():
            self.model = build_untrained(cfg).train()
        self.compresses = False
        if _student_of(self.cfg.model).get('compress_spikes'):
            self.compress_spikes()

    def _scope(self):
        return DefaultScope.overwrite_default_scope(self.cfg.get('default_scope', 'bkdsnn'))

    def compress_spikes(self) -> None:
        """Keep spikes as bytes in all plans from now on.

        Which layers can is read from a forward pass of two random samples, as a run reads it from its first batch.
        """
        student = self.model.student if isinstance(self.model, Distiller) else self.model
        compress_spikes_in(student)
        nodes = [module for module in student.modules() if isinstance(module, BaseNode)]
        backends = [node.backend for node in nodes]
        for node in nodes:  # compiling would take longer than the pass
            node.backend = 'eager'
        try:
            inputs = self._inputs(2, torch.rand)
            student(inputs['student'] if isinstance(inputs, dict) else inputs)
        finally:
            for node, backend in zip(nodes, backends):
                node.backend = backend
        self.compresses = True

    def plan(self, batch_size: int) -> MemoryPlan:
        """Memory of a training step, in a run that goes on: the optimizer has its state.

        Args:
            batch_size: Samples of one process.
        """
        teacher = getattr(self.model, 'teacher', None)
        networks = {'': self.model} if teacher is None else {'': self.model, 'teacher': teacher}
        with ExitStack() as stack:
            stack.enter_context(self._scope())
            if self.gpus > 1:
                stack.enter_context(_norms_apart(self.model, all_norms=bool(self.cfg.get('sync_bn'))))
            storages = stack.enter_context(LiveStorages(networks))
            return self._plan(batch_size, storages, teacher)

    def _plan(self, batch_size: int, storages: LiveStorages, teacher: Optional[nn.Module]) -> MemoryPlan:
        numbers_of = storages.numbers_of
        wrapper = _build_wrapper(self.model, self.cfg.optim_wrapper)
        gradients: Set[int] = set()
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda p: gradients.update(numbers_of([p.grad])))
        inputs, samples = self._inputs(batch_size, torch.empty), self._samples(batch_size)
        batch = numbers_of(tree_leaves(inputs))
        self._step(wrapper, inputs, samples)
        if self.cfg.optim_wrapper.get('accumulative_counts', 1) > 1:  # then gradients live in the forward pass too
            self._step(wrapper, inputs, samples, updates=False)
        start = len(storages.log.events)
        forward_end = self._step(wrapper, inputs, samples, lambda: len(storages.log.events))
        kept = storages.log.live_after(forward_end) - storages.log.live_after(start)

        def is_teachers(number: int) -> bool:
            return storages.log.makers[number].split('.')[0] == 'teacher'

        weights, buffers = numbers_of(self.model.parameters()), numbers_of(self.model.buffers())
        owners = {
            'weights': weights, 'buffers': buffers, 'gradients': gradients, 'batch': batch,
            'optimizer state': numbers_of(t for t in tree_leaves(wrapper.optimizer.state_dict()['state'])
                                          if isinstance(t, Tensor)),
            'teacher weights': set() if teacher is None else numbers_of([*teacher.parameters(), *teacher.buffers()])}
        known = {number: part for part, numbers in owners.items() for number in numbers}
        _, events = storages.log.peak_after(start)
        sizes, parts = storages.log.sizes, Counter()
        for number in storages.log.live_after(events):
            part = known.get(number) or ('teacher activations' if is_teachers(number) else
                                         'activations' if number in kept else 'temporaries')
            parts[part] += sizes[number]
        # Outside of what the step does.
        if self.gpus > 1:
            parts['DDP buckets'] = sum(p.numel() * p.element_size() for p in self.model.parameters() if p.requires_grad)
        if any('EMAHook' in str(hook.get('type')) for hook in self.cfg.get('custom_hooks') or []):
            parts['averaged weights'] = sum(sizes[number] for number in weights | buffers)
        modules: Counter = Counter()
        for number in kept - set(known):
            modules[storages.log.makers[number] or '(losses)'] += sizes[number]
        return MemoryPlan(batch_size, {part: parts[part] for part in PARTS if parts[part]}, dict(modules.most_common()))

    def _step(self, wrapper: OptimWrapper, inputs, samples: List[DataSample],
              after_forward: Callable[[], Optional[int]] = lambda: None, updates: bool = True) -> Optional[int]:
        """A training step as of mmengine; returns what ``after_forward`` does."""
        with torch.autocast('cpu', torch.bfloat16) if self.amp else nullcontext():
            losses = self.model(inputs, samples, mode='loss')
        total, _ = self.model.parse_losses(losses)
        result = after_forward()
        wrapper.backward(wrapper.scale_loss(total))
        if updates:
            wrapper.step()
            wrapper.zero_grad()
        return result

    def _inputs(self, batch_size: int, make: Callable[..., Tensor]):
        if isinstance(self.shape, dict):
            return {view: make(batch_size, *shape) for view, shape in self.shape.items()}
        return make(batch_size, *self.shape)

    def _samples(self, batch_size: int) -> List[DataSample]:
        """Labels, soft ones where the data preprocessor makes them."""
        samples = [DataSample().set_gt_label(label) for label in torch.zeros(batch_size, 1, dtype=torch.long)]
        preprocessor = self.model.data_preprocessor
        if getattr(preprocessor, 'to_onehot', False) or getattr(preprocessor, 'batch_augments', None):
            for sample, score in zip(samples, torch.empty(batch_size, preprocessor.num_classes)):
                sample.set_gt_score(score)
        return samples


def training_shape(cfg: Config) -> Union[Shape, Dict[str, Shape], None]:
    """Shape of one sample in training, or of its views for student and teacher; ``None`` where the config is silent."""
    views = cfg.model.get('input_shape')
    if isinstance(views, dict):
        return {name: tuple(shape) for name, shape in views.items()}
    shape = input_shape_of(cfg)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:  # wrappers
        dataset = dataset['dataset']
    frames = [step['time_steps'] for step in dataset.get('pipeline') or [] if step.get('type') == 'EventsToFrames']
    return (frames[0], *shape[1:]) if frames and shape is not None and len(shape) == 4 else shape


def build_untrained(cfg: Config) -> nn.Module:
    """The model that a config trains, with random weights; of a distillation config, the teacher's are random too."""
    model = dict(cfg.model)
    model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    if model.get('pretrained'):
        model['pretrained'] = False
    if model.get('teacher') is not None:
        teacher = dict(model['teacher'])
        source = find_network(teacher['model'], pretrained=False)
        found = {name: value for name, value in vars(source).items() if name != 'network' and value is not None}
        model['teacher'] = MODELS.build({**found, **teacher, 'model': source.network, 'checkpoint': None})
    return MODELS.build(model)


def largest_batch(peak_of: Callable[[int], int], limit: int, start: int = 1) -> Optional[int]:
    """The largest batch size whose peak is at most ``limit`` bytes; ``None`` if not even one sample fits.

    Args:
        peak_of: Peak in bytes at a batch size; it grows nearly linearly, so few are asked for.
        limit: In bytes.
        start: A guess.
    """
    low, high = 0, 0  # fits, does not fit
    peaks: Dict[int, int] = {}
    guess = start
    while not high or high - low > 1:
        peaks[guess] = peak_of(guess)
        if peaks[guess] <= limit:
            low = guess
        else:
            high = guess
        if high and low:
            step = (limit - peaks[low]) * (high - low) // (peaks[high] - peaks[low])
            guess = min(max(low + step, low + 1), high - 1)
        else:
            guess = high // 2 if high else 2 * low
    return low or None


class _norms_apart(ExitStack):
    """Inside the block, norms over several processes are not fused with neurons, as in a run of several.

    They have listeners, to whom a fused norm would be silent.
    """

    def __init__(self, model: nn.Module, all_norms: bool) -> None:
        super().__init__()
        for module in model.modules():
            if isinstance(module, _BatchNorm if all_norms else (nn.SyncBatchNorm, CPUSyncBatchNorm2d)):
                self.callback(module.register_forward_hook(lambda *_: None).remove)


def _student_of(model: dict) -> dict:
    return model.get('student', model)


def _build_wrapper(model: nn.Module, cfg: dict) -> OptimWrapper:
    # That for half precision cannot be built without a GPU, and its scaler looks at values.
    unused = ('loss_scale', 'dtype', 'use_fsdp') if cfg.get('type') == 'AmpOptimWrapper' else ()
    cfg = {key: value for key, value in cfg.items() if key not in unused}
    return build_optim_wrapper(model, {**cfg, 'type': 'OptimWrapper'} if unused else cfg)
