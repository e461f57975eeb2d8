"""Surrogate gradients: what replaces the derivative of the Heaviside step in the backward pass.

Each function takes the distance from the threshold ``x = h - v_threshold`` and the sharpness ``alpha`` and returns the
derivative, of the same shape. Adding one is one decorated function; see :class:`Surrogate` for how it is used.
"""
import math
from typing import Callable

import torch
from torch import Tensor

from bkdsnn.registry import SURROGATES


@SURROGATES.register_module('Sigmoid')
def sigmoid_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Derivative of :math:`\sigma(\alpha x)`: :math:`\alpha\,\sigma(\alpha x)(1-\sigma(\alpha x))`."""
    s = torch.sigmoid(alpha * x)
    return alpha * s * (1 - s)


@SURROGATES.register_module('ATan')
def atan_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Derivative of :math:`\frac{1}{\pi}\arctan(\frac{\pi}{2}\alpha x)+\frac12` (PLIF, ICCV 2021).

    It is :math:`\frac{\alpha/2}{1+(\pi\alpha x/2)^2}`.
    """
    return alpha / 2 / (1 + (math.pi / 2 * alpha * x).square())


@SURROGATES.register_module('PiecewiseQuadratic')
def piecewise_quadratic_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Triangle of unit area and width :math:`2/\alpha`: :math:`\max(0, \alpha-\alpha^2|x|)` (STBP, 2018)."""
    return (alpha - alpha**2 * x.abs()).clamp(min=0)


@SURROGATES.register_module('Rectangular')
def rectangular_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Box of unit area and width :math:`1/\alpha`: :math:`\alpha` where :math:`|x|<\frac{1}{2\alpha}` (STBP, 2018)."""
    return alpha * (x.abs() < 0.5 / alpha).to(x.dtype)


@SURROGATES.register_module('SoftSign')
def soft_sign_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Derivative of :math:`\frac12(\frac{\alpha x}{1+|\alpha x|}+1)`: :math:`\frac{\alpha}{2(1+\alpha|x|)^2}`.

    The fast sigmoid of SuperSpike (Zenke and Ganguli, 2018).
    """
    return alpha / 2 / (1 + alpha * x.abs()).square()


@SURROGATES.register_module('Triangular')
def triangular_derivative(x: Tensor, alpha: float) -> Tensor:
    r"""Triangle of fixed width 2 and height :math:`\alpha`: :math:`\alpha\max(0, 1-|x|)`.

    Here ``alpha`` dampens the gradient (0.3 in LSNN, Bellec et al., NeurIPS 2018); for a triangle whose width follows
    ``alpha`` at unit area use ``PiecewiseQuadratic``.
    """
    return alpha * (1 - x.abs()).clamp(min=0)


class _Spike(torch.autograd.Function):
    """Heaviside step forward (1 at exactly zero), the surrogate's derivative backward."""

    @staticmethod
    def forward(ctx, x: Tensor, derivative: Callable, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.derivative, ctx.alpha = derivative, alpha
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad * ctx.derivative(ctx.saved_tensors[0], ctx.alpha), None, None


class Surrogate:
    """Spike function with a surrogate gradient.

    Args:
        type: Name in the ``SURROGATES`` registry.
        alpha: Sharpness (height for ``Triangular``), positive.

    Raises:
        ValueError: If the name is unknown or ``alpha`` is not positive.
    """

    def __init__(self, type: str, alpha: float) -> None:
        derivative = SURROGATES.get(type)
        if derivative is None:
            raise ValueError(f'surrogate.type={type!r} is unknown; choose from {sorted(SURROGATES.module_dict)} or '
                             'register a function (x, alpha) -> derivative with @SURROGATES.register_module(name).')
        if not alpha > 0:
            raise ValueError(f'surrogate.alpha={alpha} must be positive.')
        self.type, self.derivative, self.alpha = type, derivative, float(alpha)

    def __call__(self, x: Tensor) -> Tensor:
        """Spikes in {0, 1} of the same shape and dtype as ``x``, the membrane's distance from the threshold."""
        return _Spike.apply(x, self.derivative, self.alpha)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surrogate) and (self.derivative, self.alpha) == (other.derivative, other.alpha)

    def __hash__(self) -> int:
        return hash((self.derivative, self.alpha))

    def __repr__(self) -> str:
        return f'{self.type}(alpha={self.alpha:g})'
