"""Other simulators read the graphs as they are meant; both are optional."""
import io

import numpy as np
import pytest
import torch

import golden
from bkdsnn.export import Deployed, nir_to_bytes, to_nir
from helpers import LIF, firing, small_network, tiny_student

nir = pytest.importorskip('nir')
pytest.importorskip('nirtorch')
NEURONS = dict(integrator=golden.IF, leaky=LIF, leaky_input_not_divided=dict(LIF, decay_input=False),
               learned=dict(LIF, type='ParametricLIFNode'))


def networks():
    frames = torch.rand(3, 3, 2, 16, 16) * 4
    for name, neuron in NEURONS.items():
        yield name, firing(tiny_student(neuron=neuron, in_channels=2, stem='imagenet'), frames), frames
    yield 'SEWDVSNet', *small_network('SEWDVSNet')
    # Sizes that are odd.
    yield 'SEWDVSNet odd', small_network('SEWDVSNet')[0], torch.rand(3, 2, 2, 18, 18) * 4


def graph_and_logits(model, frames):
    deployed = Deployed(model)
    graph = nir.read(io.BytesIO(nir_to_bytes(to_nir(deployed, frames.shape[1:]))))
    want = deployed.to(frames.dtype).logits(frames)
    assert want.std() > 1e-2
    return graph, want


def test_spikingjelly_gives_the_same_logits():
    pytest.importorskip('spikingjelly', reason='pip install --no-deps spikingjelly==2.0.0 loguru')
    from spikingjelly.activation_based.nir_exchange import import_from_nir
    for name, model, frames in networks():
        frames = frames.double()
        graph, want = graph_and_logits(model, frames)
        network, state = import_from_nir(graph, dtype=frames.dtype), None
        for frame, step in zip(frames.unbind(1), want):
            got, state = network(frame, state)
            torch.testing.assert_close(got, step, rtol=1e-5, atol=1e-5, msg=name)


def test_snntorch_gives_the_same_logits_of_leaky_networks(capsys):
    """It reads nir.IF as a neuron with leak and another reset; its flattening takes one sample at a time."""
    pytest.importorskip('snntorch', reason='pip install snntorch')
    from snntorch.import_nir import import_from_nir
    for name, model, frames in networks():
        if name == 'integrator':
            continue
        graph, want = graph_and_logits(model, frames)
        network, state = import_from_nir(graph), None
        for frame, step in zip(frames[0], want[:, 0]):
            got, state = network(frame[None], state)
            np.testing.assert_allclose(got.detach(), step, rtol=1e-5, atol=1e-5, err_msg=name)
