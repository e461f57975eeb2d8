"""What tests on a GPU share."""
from contextlib import contextmanager

import torch

from bkdsnn.registry import MODELS


def build(cfg, backend, **changes):
    """A neuron on the GPU."""
    return MODELS.build(dict(cfg, backend=backend, **changes)).cuda()


def run(node, x, grad, **options):
    """Spikes, and gradients of the input and all parameters."""
    x = x.detach().requires_grad_()
    spikes = node(x, **options)
    return [spikes.detach(), *torch.autograd.grad(spikes, [x, *node.parameters()], grad)]


def assert_near(got, want, tolerance, what, relative=0.0):
    """Each number within ``tolerance`` of the largest wanted one, plus ``relative`` of the wanted number itself."""
    assert got.shape == want.shape, f'{what}: shape {tuple(got.shape)}, wanted {tuple(want.shape)}'
    got, want = got.detach().double().cpu(), want.detach().double().cpu()
    scale, error = want.abs().max().item(), (got - want).abs()
    excess = (error - relative * want.abs()).max().item()
    assert excess <= tolerance * scale, (
        f'{what}: largest error {error.max().item():.3g}, largest value {scale:.3g}; beyond {relative:.3g} of each '
        f'number {excess:.3g} is left, allowed {tolerance * scale:.3g}')


def assert_same_spikes(got, want, what):
    """Equal in each neuron and step."""
    other = (got.double().cpu() != want.double().cpu()).sum().item()
    assert other == 0, f'{what}: {other} of {want.numel()} spikes differ; mean {got.double().mean().item():.4f}, ' \
                       f'wanted {want.double().mean().item():.4f}'


def distances(node, x, **options):
    """How far the membranes of an eager node are from its threshold in each step, (T, B, ...)."""
    found, spike = [], node.surrogate
    node.surrogate = lambda distance: found.append(distance.detach().abs()) or spike(distance)
    try:
        with torch.no_grad():
            node(x, **options)
    finally:
        node.surrogate = spike
    return torch.stack(found)


@contextmanager
def no_host_reads():
    """Inside the block an operation that makes the host wait for the device is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')
