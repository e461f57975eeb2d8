"""Mixed precision: mmengine's optimizer wrapper, on CPUs too and in the type that the device is made for."""
from typing import Optional, Union

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper as MMEngineAmpOptimWrapper
from mmengine.optim import OptimWrapper
from torch import nn

from bkdsnn.registry import OPTIM_WRAPPERS
from bkdsnn.utils.log_once import log_once
from bkdsnn.utils.processor import SLOWER, cpu_computes_in_bfloat16, emulation_refused

HALVES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


def amp_dtype(dtype: Union[str, torch.dtype, None] = None, device: Optional[str] = None) -> torch.dtype:
    """The type that mixed precision computes in.

    Args:
        dtype: ``'bfloat16'`` or ``'float16'``, as a name or PyTorch's; ``None`` takes bfloat16 where the device has it,
            since its range is that of fp32 and no loss has to be scaled, and float16 on older GPUs.
        device: Type of the device; ``None`` is the one that mmengine trains on.

    Raises:
        ValueError: If it is another type, or the device does not compute in it.
    """
    device = device or get_device()
    # PyTorch counts emulation as support, which is slower than fp32.
    has_bfloat16 = device != 'cuda' or torch.cuda.is_bf16_supported(including_emulation=False)
    if dtype is None:
        return torch.bfloat16 if has_bfloat16 else torch.float16
    chosen = HALVES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if chosen not in HALVES.values():
        raise ValueError(f'AmpOptimWrapper: dtype={dtype!r} is unknown; choose from {list(HALVES)} '
                         '(optim_wrapper.dtype).')
    if device == 'cpu' and chosen is torch.float16:
        raise ValueError("AmpOptimWrapper: dtype='float16' needs a GPU; on a CPU set optim_wrapper.dtype='bfloat16'.")
    if chosen is torch.bfloat16 and not has_bfloat16:
        raise ValueError("AmpOptimWrapper: this GPU does not compute in bfloat16; set optim_wrapper.dtype='float16'.")
    return chosen


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(MMEngineAmpOptimWrapper):
    """mmengine's, which also runs on a CPU, and scales no loss in bfloat16.

    Weights, gradients, the optimizer, membranes and losses are in fp32; convolutions and products are not.

    Args:
        loss_scale: As in mmengine, for float16: ``'dynamic'``, a number, or arguments of ``torch.amp.GradScaler``.
        dtype: ``'bfloat16'`` or ``'float16'`` (GPUs only). ``None`` chooses, as :func:`amp_dtype` does, but fp32 on a
            CPU that has no instructions for bfloat16, where it is many times slower; the log says what was chosen. A
            half becomes what validation and test take under ``val_cfg=dict(fp16=True)`` too.
        use_fsdp: As in mmengine.
        emulate: Whether to train in ``dtype='bfloat16'`` on such a CPU all the same.
        **kwargs: As :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: If the device does not compute in the type, or is many times slower in it and that is not asked
            for; or a scale is given without float16.
    """

    def __init__(self,
                 loss_scale: Union[str, float, dict] = 'dynamic',
                 dtype: Union[str, torch.dtype, None] = None,
                 use_fsdp: bool = False,
                 emulate: bool = False,
                 **kwargs) -> None:
        device = get_device()
        dtype = self._choose(dtype, device, emulate)
        if dtype is not torch.float16:
            if loss_scale != 'dynamic':
                raise ValueError(f'AmpOptimWrapper: loss_scale={loss_scale!r} is for float16; bfloat16 has the range '
                                 'of fp32 and needs none. Drop optim_wrapper.loss_scale, or set .dtype=\'float16\'.')
            loss_scale = dict(enabled=False)
        if device == 'cpu':  # which the parent refuses
            OptimWrapper.__init__(self, **kwargs)
            self.loss_scaler, self._scale_update_param = torch.amp.GradScaler('cpu', **loss_scale), None
            self.cast_dtype = dtype
        else:
            scale = float(loss_scale) if type(loss_scale) is int else loss_scale  # mmengine refuses whole numbers
            super().__init__(scale, dtype, use_fsdp, **kwargs)
        # For mmengine's loops, which name no type.
        if dtype is not None:
            torch.set_autocast_dtype(device, dtype)

    @staticmethod
    def _choose(dtype: Union[str, torch.dtype, None], device: str, emulate: bool) -> Optional[torch.dtype]:
        """What to compute in; ``None`` is fp32."""
        fast = device != 'cpu' or cpu_computes_in_bfloat16()
        if dtype is None and not fast:
            log_once("Mixed precision: off, in fp32, as this CPU has no instructions for bfloat16; "
                     f"optim_wrapper.dtype='bfloat16' with .emulate=True has it emulated, about {SLOWER} times slower.")
            return None
        chosen = amp_dtype(dtype, device)
        if not fast and not emulate:
            raise emulation_refused("optim_wrapper.dtype='bfloat16' (or --amp)", 'Drop it', 'optim_wrapper.emulate')
        slow = '' if fast else f', which this CPU has no instructions for: about {SLOWER} times slower than in fp32'
        log_once(f'Mixed precision: {str(chosen).removeprefix("torch.")}{slow}.')
        return chosen

    def optim_context(self, model: nn.Module):
        """As mmengine's; without autocast where mixed precision is off."""
        kind = OptimWrapper if self.cast_dtype is None else MMEngineAmpOptimWrapper
        return kind.optim_context(self, model)
