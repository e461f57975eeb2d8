"""CKA against closed forms: its definition, its invariances, and what chance gives."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bkdsnn.evaluation.cka import FeatureSimilarity, hsic, linear_cka, linear_kernel


def hsic_by_hand(k, m):
    """The estimate as a mean over all quadruples of different samples (Song et al., 2012, eq. 4)."""
    from itertools import permutations
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return sum(terms) / len(terms)


def test_hsic_is_the_mean_over_quadruples():
    x, y = torch.randn(6, 3).double(), torch.randn(6, 5).double()
    torch.testing.assert_close(hsic(x @ x.T, y @ y.T), hsic_by_hand(x @ x.T, y @ y.T))


def test_hsic_of_features_far_from_zero_is_that_of_the_centered_ones():
    x, y = torch.randn(8, 3).double(), torch.randn(8, 4).double()
    shifted = x + 100
    torch.testing.assert_close(hsic(shifted @ shifted.T, y @ y.T), hsic(x @ x.T, y @ y.T))
    torch.testing.assert_close(linear_kernel(shifted), linear_kernel(x))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(1, 6), st.floats(0.1, 100))
def test_rotated_and_scaled_features_are_the_same(seed, samples, channels, scale):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, channels, generator=generator).double()
    rotation, _ = torch.linalg.qr(torch.randn(channels, channels, generator=generator).double())
    if hsic(linear_kernel(x), linear_kernel(x)) > 0:
        assert linear_cka(x, scale * x @ rotation + 3) == pytest.approx(1)


def test_many_samples_approach_the_closed_form():
    # Of x and a x + b z with independent x, z of one channel: the squared correlation, a^2 / (a^2 + b^2).
    x, z = torch.randn(3000, 1), torch.randn(3000, 1)
    assert linear_cka(x, 3 * x + 4 * z) == pytest.approx(9 / 25, abs=0.03)


def test_independent_features_are_at_zero_even_with_more_channels_than_samples():
    # The biased estimate would be near 1 here.
    found = [linear_cka(torch.randn(20, 500), torch.randn(20, 500)) for _ in range(30)]
    assert abs(sum(found) / len(found)) < 0.05


def test_batches_give_what_all_samples_give():
    x, y = torch.randn(2000, 4), torch.randn(2000, 2)
    y[:, 0] += x[:, 0]
    similarity = FeatureSimilarity(['a'], ['b'])
    for part in range(0, 2000, 50):
        similarity.update(dict(a=x[part:part + 50]), dict(b=y[part:part + 50]))
    assert similarity.samples == 2000
    assert similarity.cka().item() == pytest.approx(linear_cka(x, y), abs=0.02)


def test_every_pair_of_layers_has_its_place():
    x = dict(a=torch.randn(10, 3, 2, 2), b=torch.randn(10, 4))
    y = dict(c=torch.randn(10, 5), d=torch.randn(10, 2, 3), e=x['a'] * 2)
    similarity = FeatureSimilarity(list(x), list(y))
    similarity.update(x, y)
    expected = [[linear_cka(first, second) for second in y.values()] for first in x.values()]
    torch.testing.assert_close(similarity.cka(), torch.tensor(expected).double())
    assert similarity.cka()[0, 2] == pytest.approx(1)


def test_constant_feature_has_no_similarity():
    assert math.isnan(linear_cka(torch.ones(8, 3), torch.randn(8, 3)))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r'n >= 4 samples, got \(3, 3\)'):
        linear_cka(torch.randn(3, 2), torch.randn(3, 2))
    with pytest.raises(ValueError, match=r'\(6, 6\) and \(5, 5\)'):
        linear_cka(torch.randn(6, 2), torch.randn(5, 2))
    with pytest.raises(ValueError, match='no features were given'):
        FeatureSimilarity(['a'], ['b']).cka()
