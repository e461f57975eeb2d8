"""Counted accumulates against NeuroBench's and spikingjelly's counters, where these are installed."""
import pytest
import torch

from bkdsnn.evaluation import measure_synops
from bkdsnn.models.backbones.sew_resnet import SEWBlock
from helpers import lively


@pytest.fixture
def student():
    """The demo's student with binary spikes everywhere (IAND), which fires in all layers."""
    model = lively('demo/plain')
    for module in model.modules():
        if isinstance(module, SEWBlock):
            module.connect = 'IAND'
    return model


def test_exact_count_is_that_of_neurobench(student):
    pytest.importorskip('neurobench', reason='pip install --no-deps neurobench snntorch')
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel
    images = torch.randn(4, 1, 8, 8)
    cost = measure_synops(student, [images])
    peer = TorchModel(student)
    peer.register_hooks()
    peer(images)
    found = SynapticOperations()(peer, None, (images, None))
    peer.cleanup_hooks()
    print('NeuroBench:', found, 'ours:', cost.synops_exact)
    assert cost.synops_exact > 1e5
    assert found['Effective_ACs'] == pytest.approx(cost.synops_exact, rel=1e-6)


def test_exact_count_is_that_of_spikingjelly(student):
    pytest.importorskip('spikingjelly', reason='pip install spikingjelly==2.0.0')
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
    images = torch.randn(4, 1, 8, 8)
    cost = measure_synops(student, [images])
    counter = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([counter]):
        student(images)
    print('spikingjelly:', counter.get_total() / 4, 'ours:', cost.synops_exact)
    assert cost.synops_exact > 1e5
    assert counter.get_total() / 4 == pytest.approx(cost.synops_exact)
