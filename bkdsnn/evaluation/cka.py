"""How similar two networks see the same samples: centered kernel alignment (Kornblith et al., ICML 2019)."""
from typing import Mapping, Sequence

import torch
from torch import Tensor

# The unbiased estimate divides by n (n - 3).
MIN_SAMPLES = 4


def hsic(k: Tensor, m: Tensor) -> Tensor:
    """Unbiased Hilbert-Schmidt independence criterion of two kernels (Song et al., JMLR 2012, eq. 5).

    Args:
        k: Similarities of n samples to each other, (n, n), symmetric; the diagonal is not used.
        m: Likewise, of the same samples.

    Returns:
        Scalar, 0 on average for independent features; it may be negative.

    Raises:
        ValueError: If the kernels are not of the same four or more samples.
    """
    n = len(k)
    if k.shape != (n, n) or m.shape != (n, n) or n < MIN_SAMPLES:
        raise ValueError(f'HSIC compares two kernels (n, n) of the same n >= {MIN_SAMPLES} samples, got '
                         f'{tuple(k.shape)} and {tuple(m.shape)}.')
    k, m = (kernel - kernel.diagonal().diag() for kernel in (k, m))
    mean = k.sum() * m.sum() / ((n - 1) * (n - 2))
    return ((k * m).sum() + mean - 2 / (n - 2) * (k.sum(0) @ m.sum(0))) / (n * (n - 3))


def linear_kernel(feature: Tensor) -> Tensor:
    """Inner products (n, n) of features (n, ...) in fp64, about the mean feature, which changes no CKA."""
    feature = feature.flatten(1).double()
    feature = feature - feature.mean(0)
    return feature @ feature.T


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear CKA of two features of the same samples, from the unbiased estimate of HSIC.

    It does not change under rotations and scaling of either feature, nor under another order of its channels, so that
    layers of different networks can be compared.

    Args:
        x: (n, ...).
        y: (n, ...), of any other size.

    Returns:
        About 0 for independent features, 1 for the same up to rotation and scale; ``nan`` for a constant feature.

    Raises:
        ValueError: If there are fewer than four samples, or not as many in both.
    """
    similarity = FeatureSimilarity(['x'], ['y'])
    similarity.update(dict(x=x), dict(y=y))
    return similarity.cka().item()


class FeatureSimilarity:
    """Linear CKA between all layers of two networks, batch by batch (Nguyen et al., ICLR 2021).

    HSIC's unbiased estimates are averaged over batches, so that its expectation does not depend on the batch size.

    Args:
        rows: Names of the first network's layers.
        columns: Names of the second's.
    """

    def __init__(self, rows: Sequence[str], columns: Sequence[str]) -> None:
        self.rows, self.columns = list(rows), list(columns)
        self.samples = 0
        self._cross = torch.zeros(len(self.rows), len(self.columns), dtype=torch.float64)
        self._own_rows = torch.zeros(len(self.rows), dtype=torch.float64)
        self._own_columns = torch.zeros(len(self.columns), dtype=torch.float64)

    def update(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> None:
        """Add a batch.

        Args:
            x: Features (n, ...) of the first network by layer, without a time axis.
            y: Of the second, of the same samples.

        Raises:
            ValueError: If there are fewer than four samples, or not as many in both.
        """
        rows = [linear_kernel(x[name]) for name in self.rows]
        columns = [linear_kernel(y[name]) for name in self.columns]
        n = len(rows[0])
        # Weighted by n, so that a last, smaller batch counts less.
        self._cross += n * torch.stack([torch.stack([hsic(k, m) for m in columns]) for k in rows]).cpu()
        self._own_rows += n * torch.stack([hsic(k, k) for k in rows]).cpu()
        self._own_columns += n * torch.stack([hsic(m, m) for m in columns]).cpu()
        self.samples += n

    def cka(self) -> Tensor:
        """CKA, (rows, columns); ``nan`` where a feature is constant.

        Raises:
            ValueError: Before the first batch.
        """
        if not self.samples:
            raise ValueError('no features were given; call update with a batch first.')
        scale = self._own_rows[:, None].clamp(min=0).sqrt() * self._own_columns.clamp(min=0).sqrt()
        return torch.where(scale > 0, self._cross / scale, torch.nan)
