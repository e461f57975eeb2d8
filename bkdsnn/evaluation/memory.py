"""Memory of a training step, predicted without computing it.

A real step runs on tensors without values: forward, losses, backward and the optimizer's step, at any batch size. What
lives at the moment with the most live bytes is sorted by what it is for.
"""
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Set, Union

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bkdsnn.models.distillers import Distiller
from bkdsnn.models.layers.compress import compress_spikes_in
from bkdsnn.models.neurons import SpikingNode
from bkdsnn.models.tasks import ClassificationTask

from .live_storages import LiveStorages, StorageLog
from .untrained import Shape, build_untrained, build_wrapper, is_mixed, norms_apart, training_shape

PARTS = ('weights', 'buffers', 'averaged weights', 'optimizer state', 'gradients', 'DDP buckets', 'batch',
         'activations', 'teacher weights', 'teacher activations', 'temporaries')
MAX_BATCH = 2**16
TEACHER = 'teacher'  # what paths of its modules start with


@dataclass(frozen=True)
class MemoryPlan:
    """Predicted memory of one process at the peak of a training step.

    Attributes:
        batch_size: Samples of this process.
        parts: Bytes that live at the peak by what they are for, in the order of ``PARTS``. ``activations`` are what
            forward keeps for backward; ``temporaries`` what forward drops again or backward makes.
        modules: All that forward keeps, also of the teacher's for the losses, by the path of the module that made it,
            the largest first.
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

    Attributes:
        amp: Whether forward runs in half precision; may be changed between plans, as ``gpus``.
        can_compress: Whether :meth:`compress_spikes` would change anything.

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
        self.amp = is_mixed(cfg.optim_wrapper)
        with self._scope():
            self.model = build_untrained(cfg).train()
        self.can_compress = any(hasattr(module, 'compress_spikes') for module in self._student().modules())
        if self.cfg.model.get('student', self.cfg.model).get('compress_spikes'):
            self.compress_spikes()

    def _scope(self):
        return DefaultScope.overwrite_default_scope(self.cfg.get('default_scope', 'bkdsnn'))

    def _student(self) -> nn.Module:
        return self.model.student if isinstance(self.model, Distiller) else self.model

    def compress_spikes(self) -> None:
        """Keep spikes as bytes in all plans from now on.

        Which layers can is read from a forward pass of two random samples, as a run reads it from its first batch.
        """
        student = self._student()
        compress_spikes_in(student)
        nodes = [module for module in student.modules() if isinstance(module, SpikingNode)]
        backends = [node.backend for node in nodes]
        for node in nodes:  # compiling would take longer than the pass
            node.backend = 'eager'
        try:
            inputs = self._inputs(2, torch.rand)
            student(inputs['student'] if isinstance(inputs, dict) else inputs)
        finally:
            for node, backend in zip(nodes, backends):
                node.backend = backend
        self.can_compress = False  # it does

    def plan(self, batch_size: int) -> MemoryPlan:
        """Memory of a training step, in a run that goes on: the optimizer has its state.

        Args:
            batch_size: Samples of one process.
        """
        teacher = getattr(self.model, 'teacher', None)
        networks = {'': self.model} if teacher is None else {'': self.model, TEACHER: teacher}
        with ExitStack() as stack:
            stack.enter_context(self._scope())
            if self.gpus > 1:
                stack.enter_context(norms_apart(self.model, all_norms=bool(self.cfg.get('sync_bn'))))
            storages = stack.enter_context(LiveStorages(networks))
            return self._plan(batch_size, storages, teacher)

    def _plan(self, batch_size: int, storages: LiveStorages, teacher: Optional[nn.Module]) -> MemoryPlan:
        log, numbers_of = storages.log, storages.numbers_of
        wrapper = build_wrapper(self.model, self.cfg.optim_wrapper)
        owners: Dict[str, Set[int]] = dict(gradients=set())
        for parameter in filter(lambda p: p.requires_grad, self.model.parameters()):
            parameter.register_post_accumulate_grad_hook(lambda p: owners['gradients'].update(numbers_of([p.grad])))
        inputs, samples = self._inputs(batch_size, torch.empty), self._samples(batch_size)
        self._step(wrapper, inputs, samples, log)
        if self.cfg.optim_wrapper.get('accumulative_counts', 1) > 1:  # then gradients live in the forward pass too
            self._step(wrapper, inputs, samples, log, updates=False)
        start = len(log.events)
        forward_end = self._step(wrapper, inputs, samples, log)
        kept = log.live_after(forward_end) - log.live_after(start)
        frozen = [] if teacher is None else [*teacher.parameters(), *teacher.buffers()]
        state = [leaf for leaf in tree_leaves(wrapper.optimizer.state_dict()['state']) if isinstance(leaf, Tensor)]
        for part, tensors in (('weights', self.model.parameters()), ('buffers', self.model.buffers()),
                              ('optimizer state', state), ('batch', tree_leaves(inputs)), ('teacher weights', frozen)):
            owners[part] = numbers_of(tensors)
        known = {number: part for part, numbers in owners.items() for number in numbers}
        kept -= set(known)

        def part_of(number: int) -> str:
            if log.makers[number].split('.')[0] == TEACHER:
                return 'teacher activations'
            return 'activations' if number in kept else 'temporaries'

        parts, modules = Counter(), Counter()
        _, peak = log.peak_after(start)
        for number in log.live_after(peak):
            parts[known.get(number) or part_of(number)] += log.sizes[number]
        for number in kept:
            modules[log.makers[number] or '(losses)'] += log.sizes[number]
        parts.update(self._beside_the_step())
        return MemoryPlan(batch_size, {part: parts[part] for part in PARTS if parts[part]}, dict(modules.most_common()))

    def _beside_the_step(self) -> Dict[str, int]:
        """Bytes that what surrounds the model holds all the time."""
        held = {}
        if self.gpus > 1:
            held['DDP buckets'] = sum(p.nbytes for p in self.model.parameters() if p.requires_grad)
        if any('EMAHook' in str(hook.get('type')) for hook in self.cfg.get('custom_hooks') or []):
            held['averaged weights'] = sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers()))
        return held

    def _step(self, wrapper: OptimWrapper, inputs, samples: List[DataSample], log: StorageLog,
              updates: bool = True) -> int:
        """A training step as of mmengine; returns how many events the log has after the forward pass."""
        with torch.autocast('cpu', torch.bfloat16) if self.amp else nullcontext():
            losses = self.model(inputs, samples, mode='loss')
        total, _ = self.model.parse_losses(losses)
        events = len(log.events)
        wrapper.backward(wrapper.scale_loss(total))
        if updates:
            wrapper.step()
            wrapper.zero_grad()
        return events

    def _inputs(self, batch_size: int, make: Callable[..., Tensor]):
        if isinstance(self.shape, dict):
            return {view: make(batch_size, *shape) for view, shape in self.shape.items()}
        return make(batch_size, *self.shape)

    def _samples(self, batch_size: int) -> List[DataSample]:
        """With targets of the task, and soft labels where the data preprocessor makes them."""
        student, task = self._student(), getattr(self.model, 'task', None) or ClassificationTask()
        with torch.no_grad():
            inputs = self._inputs(1, torch.empty)
            output = student.eval()(inputs['student'] if isinstance(inputs, dict) else inputs)
        self.model.train()
        sample = task.example(output)
        preprocessor = self.model.data_preprocessor
        if getattr(preprocessor, 'to_onehot', False) or getattr(preprocessor, 'batch_augments', None):
            sample.set_gt_score(torch.zeros(preprocessor.num_classes))
        return batch_size * [sample]


def largest_batch(peak_of: Callable[[int], int], limit: int, start: int = 1) -> Optional[int]:
    """The largest batch size, up to ``MAX_BATCH``, whose peak is at most ``limit`` bytes; ``None`` if no sample fits.

    Args:
        peak_of: Peak in bytes at a batch size; it grows nearly linearly, so few are asked for.
        limit: In bytes.
        start: A guess.
    """
    low, high = 0, 0  # fits, does not fit
    peaks: Dict[int, int] = {}
    guess, width = start, 0
    while low < MAX_BATCH and (not high or high - low > 1):
        peaks[guess] = peak_of(guess)
        if peaks[guess] <= limit:
            low = guess
        else:
            high = guess
        if not high:
            guess = min(2 * low, MAX_BATCH)
        elif not low or width and high - low > width // 2:
            guess = (low + high) // 2  # the last guess has not helped much
        else:
            step = (limit - peaks[low]) * (high - low) // (peaks[high] - peaks[low])
            guess = min(max(low + step, low + 1), high - 1)
        width = high - low if high and low else 0
    return low or None
