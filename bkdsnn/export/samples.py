"""Inputs on which exported networks are checked."""
import re
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..apis.evaluate import build_loader, spread_samples
from .deployed import Preprocessing, can_deploy

FIRST_SENTENCE = re.compile(r'.*?(?=\.\s|\.?$)', re.MULTILINE)


def read_test_inputs(model: nn.Module, number: int) -> Tensor:
    """Samples of the test data of a network's config, spread over it, as they are before preprocessing.

    Args:
        model: From :func:`bkdsnn.init_model`, with its ``cfg``.
        number: How many.

    Returns:
        Images (B, C, H, W), in the network's order of colours, or the student's frames (B, T, P, H, W).

    Raises:
        ValueError, OSError: If the config has no test data, or they cannot be read.
    """
    inputs = [batch['inputs'] for batch in spread_samples(build_loader(model.cfg), number)]
    inputs = [batch['student'] if isinstance(batch, dict) else batch for batch in inputs]
    inputs = torch.stack([batch[0] for batch in inputs]).float()
    turned = getattr(model.data_preprocessor, 'to_rgb', False) and inputs.dim() == 4 and inputs.shape[1] == 3
    return inputs.flip(1) if turned else inputs


def make_noise(model: nn.Module, shape: Sequence[int], number: int, pixels: bool = True) -> Tensor:
    """Random inputs in the range of those before preprocessing: pixels from 0 to 255, or counts of events.

    With ``pixels=False`` those of images are normal, as after it.
    """
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 4:
        return torch.poisson(torch.full((number, *shape), 0.5), generator)
    if pixels and getattr(model.data_preprocessor, 'mean', None) is not None:
        return 255 * torch.rand(number, *shape, generator=generator)
    return torch.randn(number, *shape, generator=generator)


def check_inputs(model: nn.Module, shape: Sequence[int], number: int, normalise: bool = True) -> Tuple[Tensor, str]:
    """Test data if they can be read and fit, else noise.

    Args:
        model: The student, with its ``cfg``.
        shape: Of one sample, (C, H, W) or (T, P, H, W). Event frames are averaged down to it.
        number: How many samples.
        normalise: Whether the exported network does the preprocessing; else it is done here, where it is known how.

    Returns:
        Inputs (B, ...), and what they are, in words.
    """
    if not normalise and not can_deploy(model.data_preprocessor):
        return (make_noise(model, shape, number, pixels=False),
                f'of noise, since the test data are prepared by {type(model.data_preprocessor).__name__}')
    try:
        inputs, reason = _fitting(read_test_inputs(model, number), shape), 'have another shape'
    except (OSError, ValueError, ImportError) as error:
        inputs, reason = None, f'cannot be read ({FIRST_SENTENCE.match(str(error))[0]})'
    source = 'of the test data' if inputs is not None else f'of noise, since the test data {reason}'
    if inputs is None:
        inputs = make_noise(model, shape, number)
    return inputs if normalise else Preprocessing(model.data_preprocessor)(inputs), source


def _fitting(inputs: Tensor, shape: Sequence[int]) -> Optional[Tensor]:
    if len(shape) == 4 and inputs.dim() == 5 and inputs.shape[1:3] == tuple(shape[:2]):
        return F.adaptive_avg_pool2d(inputs.flatten(0, 1), shape[2:]).unflatten(0, inputs.shape[:2])
    return inputs if inputs.shape[1:] == tuple(shape) else None
