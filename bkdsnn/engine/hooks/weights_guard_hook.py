"""A stop before weights that are no numbers are saved or validated."""
from typing import Any, Dict

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from bkdsnn.checkpoints.weights import not_finite, some_of
from bkdsnn.registry import HOOKS

from .before_use_hook import BeforeUseHook
from .sync_buffers_hook import averages_of

AVERAGED = ' (averaged)'


@HOOKS.register_module()
class WeightsGuardHook(BeforeUseHook):
    """Stops at weights, moving averages of them or an optimizer's state that are NaN or infinite.

    The loss of an epoch's last step may be finite where its update is not, so that :class:`LossGuardHook` sees nothing.
    All numbers are looked at when an epoch ends, before a validation, and before a checkpoint by steps.

    Raises:
        FloatingPointError: With the step and the names.
    """

    # After SyncBuffersHook, so that all processes see the same.
    priority = 45

    def __init__(self) -> None:
        self.infinite = set()

    def before_run(self, runner: Runner) -> None:
        # Buffers may be infinite on purpose, as masks are.
        self.infinite = set(not_finite(dict(_bare(runner.model).named_buffers())))

    def before_use(self, runner: Runner, steps: int) -> None:
        """Look at all numbers now."""
        damaged = [name for name in not_finite(tensors_of(runner))
                   if name.removesuffix(AVERAGED) not in self.infinite]
        if damaged:
            raise FloatingPointError(
                f'the weights are not finite after step {steps}: {some_of(damaged)}. '
                f'They are not saved; checkpoints in {runner.work_dir} are from before. Lower '
                'optim_wrapper.optimizer.lr, or clip gradients with optim_wrapper.clip_grad=dict(max_norm=5.0).')


def tensors_of(runner: Runner) -> Dict[str, Any]:
    """What a checkpoint would hold: weights and buffers, moving averages of them, and the optimizer's state."""
    model = _bare(runner.model)
    tensors = dict(model.state_dict())
    for average in averages_of(runner):
        tensors.update({name + AVERAGED: value for name, value in average.module.state_dict().items()})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    own = getattr(optimizer, 'optim', optimizer)  # that of this process, where processes share the state out
    for parameter, values in getattr(own, 'state', {}).items():
        tensors.update({f'{key} of {names.get(id(parameter), "a parameter")}': value for key, value in values.items()})
    return tensors


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
