"""A warning where BKD's restoration block is dead."""
from typing import Callable, Dict, List, Optional, Set

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from bkdsnn.models.losses import BKDLoss
from bkdsnn.registry import HOOKS

from ..teacher_cache import distiller_of


@HOOKS.register_module()
class DeadBlockHook(Hook):
    """Warns once where no sample of an epoch's last batch brings a restoration block's ReLU above zero.

    Such a block gives one map for all samples, so that the student learns nothing from the teacher's. It does not come
    back. Models that are compiled as a whole are not looked at, as that would compile them anew.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self.seen: Dict[str, bool] = {}
        self.told: Set[str] = set()
        self.handles: List = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        """Listen to the last batch."""
        if (batch_idx + 1) % len(runner.train_dataloader) or runner.cfg.get('compile'):
            return
        losses = getattr(distiller_of(runner), 'losses', None)
        for name, loss in losses.items() if isinstance(losses, nn.ModuleDict) else ():
            if isinstance(loss, BKDLoss) and isinstance(loss.restore, nn.Sequential) and name not in self.told:
                self.handles.append(loss.restore[1].register_forward_hook(self._listener(name)))

    def _listener(self, name: str) -> Callable:
        def listen(relu: nn.Module, inputs: tuple, output: Tensor) -> None:
            self.seen[name] = self.seen.get(name, False) or bool((output > 0).any())
        return listen

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Say what was heard."""
        for handle in self.handles:
            handle.remove()
        for name, is_alive in self.seen.items():
            if not is_alive:
                self.told.add(name)
                runner.logger.warning(
                    f'model.losses.{name}: the restoration block is dead, its ReLU is above zero for no sample of the '
                    'last batch. It gives one map for all of them, so that the student learns nothing by it. Begin '
                    f'again with a smaller model.losses.{name}.lr_mult (0.1), loss_weight or learning rate.')
        self.handles, self.seen = [], {}
