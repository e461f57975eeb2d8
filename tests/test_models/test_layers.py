"""Layers beyond what the networks' tests reach."""
import pytest
import torch

from bkdsnn.models.layers import expand_time, normal_per_sample, random_draws, uniform_per_sample


@pytest.mark.parametrize('numbers, least, largest', [(uniform_per_sample, 0, 1), (normal_per_sample, -5, 5)])
def test_processes_with_one_seed_share_the_numbers_of_the_whole_batch(monkeypatch, numbers, least, largest):
    """As mmengine's sampler deals samples out: process r of w gets the samples r, r + w, ..."""
    def draw(samples, rank, world):
        monkeypatch.setattr(random_draws, 'get_dist_info', lambda: (rank, world))
        torch.manual_seed(3)
        return numbers(samples, 5, 1, device=torch.device('cpu'))

    whole = draw(6, 0, 1)
    assert whole.shape == (6, 5, 1) and least <= whole.min() < whole.max() < largest
    for rank in range(2):
        assert torch.equal(draw(3, rank, 2), whole[rank::2])


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_gradient_of_expanded_time_keeps_the_order_of_memory(layout):
    x = torch.randn(3, 5, 4, 6).to(memory_format=layout).unsqueeze(0).requires_grad_()
    grad = torch.randn(4 * 3, 5, 4, 6).to(memory_format=layout).unflatten(0, (4, 3))
    got, = torch.autograd.grad(expand_time(x, 4), x, grad)
    want, = torch.autograd.grad(x.expand(4, -1, -1, -1, -1), x, grad)
    assert torch.equal(got, want) and got.stride() == x.stride()
    assert expand_time(x, 1) is x
