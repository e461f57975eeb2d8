"""A warning where BKD's restoration block is dead."""
from functools import partial
from typing import Dict, List, Optional

from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bkdsnn.models.losses import BKDLoss
from bkdsnn.registry import HOOKS

from ..teacher_cache import distiller_of
from .before_use_hook import BeforeUseHook


@HOOKS.register_module()
class DeadBlockHook(BeforeUseHook):
    """Warns where no sample of the data's last batch brings a restoration block's ReLU above zero.

    Such a block gives one map for all samples, and neither it, but for its last bias, nor the student learns by it.
    Models that are compiled as a whole are not looked at, as that would compile them anew.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self.handles: List[RemovableHandle] = []
        # By loss, a flag that stays on the device until the network is used.
        self.alive: Dict[str, Tensor] = {}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        """Listen to the last batch."""
        if (batch_idx + 1) % len(runner.train_dataloader) or runner.cfg.get('compile'):
            return
        losses = getattr(distiller_of(runner), 'losses', None)
        for name, loss in losses.items() if isinstance(losses, nn.ModuleDict) else ():
            if isinstance(loss, BKDLoss) and isinstance(loss.restore, nn.Sequential):
                self.handles.append(loss.restore[1].register_forward_hook(partial(self._listen, name)))

    def _listen(self, name: str, relu: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.alive[name] = (output > 0).any()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Listen no more."""
        while self.handles:
            self.handles.pop().remove()
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def before_use(self, runner: Runner, steps: int) -> None:
        """Say what was heard; mmengine's log has it once."""
        for name, is_alive in self.alive.items():
            if not is_alive:
                runner.logger.warning(
                    f'model.losses.{name}: the restoration block is dead, its ReLU is above zero for no sample of the '
                    'last batch. It gives one map for all of them, so that the student learns nothing by it. If the '
                    f'loss then stays where it is, begin again with a smaller model.losses.{name}.lr_mult (0.1), '
                    'loss_weight or learning rate.')
        self.alive = {}
