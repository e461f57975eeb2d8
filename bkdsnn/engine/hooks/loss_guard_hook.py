"""Losses over all processes, and a stop when they are no numbers."""
from typing import Dict, Optional

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from bkdsnn.models.layers import full_precision
from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Averages the logged losses over all processes and stops training at a NaN or infinite one.

    It runs before the checkpoint hook, so the last checkpoint on disk is from before the damage. All losses are read
    from the device at once, which mmengine's log would otherwise do one by one.

    Raises:
        FloatingPointError: With the step, all loss terms and the ids of the batch's samples.
    """

    # Before RuntimeInfoHook, which puts the losses into the log.
    priority = 'HIGHEST'

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[Dict[str, Tensor]] = None) -> None:
        names = list(outputs)
        values = torch.stack([full_precision(outputs[name].detach()) for name in names])
        if get_world_size() > 1:
            all_reduce(values, op='mean')
        values = values.tolist()
        # As numbers, so that the log does not read each of them from the device again.
        outputs.update(zip(names, values))
        if all(abs(value) < float('inf') for value in values):
            return
        terms = ', '.join(f'{name}={value:.4g}' for name, value in zip(names, values))
        samples = (data_batch or {}).get('data_samples') or []
        ids = [sample.get('sample_idx', '?') for sample in samples]
        raise FloatingPointError(
            f'the loss is not finite at epoch {runner.epoch + 1}, step {runner.iter + 1}: {terms}; sample ids {ids}. '
            f'Checkpoints in {runner.work_dir} are from before this step. Lower optim_wrapper.optimizer.lr or a '
            'loss_weight, or clip gradients with optim_wrapper.clip_grad=dict(max_norm=5.0).')
