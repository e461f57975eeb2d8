"""Numbers in half precision, and what must not be computed in it."""
import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """``x`` in fp32 if it is in half precision; fp32 and fp64 pass unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
