"""Layers beyond what the networks' tests reach."""
import torch

from bkdsnn.models.layers import random, uniform_per_sample


def test_processes_with_one_seed_share_the_numbers_of_the_whole_batch(monkeypatch):
    """As mmengine's sampler deals samples out: process r of w gets the samples r, r + w, ..."""
    def draw(samples, rank, world):
        monkeypatch.setattr(random, 'get_dist_info', lambda: (rank, world))
        torch.manual_seed(3)
        return uniform_per_sample(samples, 5, 1, device=torch.device('cpu'))

    whole = draw(6, 0, 1)
    assert whole.shape == (6, 5, 1) and 0 <= whole.min() < whole.max() < 1
    for rank in range(2):
        assert torch.equal(draw(3, rank, 2), whole[rank::2])
