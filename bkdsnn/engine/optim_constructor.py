"""Layers that losses bring along, at learning rates of their own."""
from mmengine.optim import DefaultOptimWrapperConstructor as MMEngineConstructor
from mmengine.optim import OptimWrapper
from torch import nn

from bkdsnn.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DefaultOptimWrapperConstructor(MMEngineConstructor):
    """mmengine's constructor of that name, in whose place it is: the layers of a loss learn at its ``lr_mult``.

    That is a factor of the optimizer's rate, as those of ``paramwise_cfg.custom_keys`` are, which it joins; the other
    rules of ``paramwise_cfg`` do not hold for these layers then. What a schedule says in absolute numbers, such as
    ``eta_min``, holds for them as it is.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The optimizer of a model in its wrapper."""
        losses = getattr(getattr(model, 'module', model), 'losses', None)
        rates = {f'losses.{name}.': dict(lr_mult=loss.lr_mult)
                 for name, loss in (losses.items() if isinstance(losses, nn.ModuleDict) else ())
                 if getattr(loss, 'lr_mult', None) is not None}
        if rates:
            custom_keys = {**self.paramwise_cfg.get('custom_keys', {}), **rates}
            self.paramwise_cfg = dict(self.paramwise_cfg, custom_keys=custom_keys)
        return super().__call__(model)
