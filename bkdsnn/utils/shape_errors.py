"""Which module of a network an error was raised in."""
import re
import traceback
from types import FrameType
from typing import Optional, Tuple

from torch import Tensor, nn

# What PyTorch says where tensors do not fit.
MISFITS = re.compile(r'shapes cannot be multiplied|to have \d+ channels|size of tensor|Sizes of tensors|size mismatch|'
                     r'is invalid for input of size|running_mean should contain|Output size is too small|'
                     r'must match|cannot be broadcast|Kernel size can.t be greater|normalized_shape')


def misfit(error: RuntimeError) -> Optional[str]:
    """What does not fit where, for an error of PyTorch's that is about shapes; ``None`` for any other."""
    if not MISFITS.search(str(error)):
        return None
    found = module_of(error)
    if found is None:
        return None
    path, inner, frame = found
    shapes = ', '.join(str(tuple(value.shape)) for value in frame.f_locals.values() if isinstance(value, Tensor))
    what = str(inner).splitlines()[0].rstrip('(')
    part = 'student.' if path.startswith('student.') else ''
    keys = f'model.{part}head.in_channels and the backbone\'s arch' if 'head' in path.split('.') else \
        f'model.{part}backbone.in_channels, model.input_shape and the size that the data pipeline gives'
    return f'{path}, a {what}, does not take {shapes}: {str(error).splitlines()[0]}. Check {keys}.'


def module_of(error: Exception) -> Optional[Tuple[str, nn.Module, FrameType]]:
    """Path and module that an error was raised in, the innermost one, with the frame; ``None`` where it was in none."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)
              if isinstance(frame.f_locals.get('self'), nn.Module)]
    if not frames:
        return None
    inner = frames[-1].f_locals['self']
    path = next((name for frame in frames for name, module in frame.f_locals['self'].named_modules()
                 if module is inner and name), type(inner).__name__)
    return path, inner, frames[-1]
