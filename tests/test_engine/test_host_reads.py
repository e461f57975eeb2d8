"""How often a training step reads from the device, which makes the host wait for it: once, and where mmengine does."""
import traceback
from collections import Counter

import pytest
import torch
from mmengine.runner import Runner
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bkdsnn.models.distillers import FeatureRecorder
from bkdsnn.models.losses.nld_loss import MIXTURES, nld_loss
from helpers import demo_config, tiny_cnn

METHODS = {'item', 'tolist', 'numpy', 'cpu', '__bool__', '__float__', '__int__', '__index__', 'nonzero', 'argwhere'}
OPERATORS = {'_local_scalar_dense', 'is_nonzero', 'nonzero', 'masked_select', '_unique2', 'equal'}


def caller():
    """File of the line outside of PyTorch and this file that is being run."""
    files = [frame.filename for frame in traceback.extract_stack()]
    return next(file for file in reversed(files) if '/torch/' not in file and file != __file__).rpartition('/')[2]


class Methods(TorchFunctionMode):
    """Reads that Python code asks for; ``tolist`` and a copy to the host are no operators on a CPU."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, '__name__', '') in METHODS:
            self.found[caller(), func.__name__] += 1
        return func(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Reads inside of PyTorch's own functions."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix('aten::')
        indices = args[1] if name in ('index', 'index_put', 'index_put_') else ()
        # How many numbers a mask selects is known on the host only.
        if name in OPERATORS or any(index is not None and index.dtype == torch.bool for index in indices):
            self.found[caller(), name] += 1
        return func(*args, **(kwargs or {}))


def reads_per_step(cfg):
    """File and read to how often a whole step does it: data, forward, backward, optimizer, all hooks."""
    runner, found, steps = Runner.from_cfg(cfg), Counter(), 0
    runner._train_loop = runner.build_train_loop(cfg.train_cfg)
    run_iter = runner._train_loop.run_iter

    def watched(idx, batch):
        nonlocal steps
        steps += 1
        with Methods(found), Operators(found):
            run_iter(idx, batch)

    runner._train_loop.run_iter = watched
    runner.train()
    assert steps == 4
    return {key: number / steps for key, number in found.items()}


OURS = {('loss_guard_hook.py', 'tolist'): 1}
# mmengine puts the gradient's norm into the log.
NORM = {('optimizer_wrapper.py', '__float__'): 1, ('optimizer_wrapper.py', '_local_scalar_dense'): 1}
# PyTorch checks labels on a CPU only.
ONE_HOT = {('utils.py', '_local_scalar_dense'): 2}
AUGMENTS = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])


@pytest.mark.parametrize('name, options, want', [
    ('mixed', {}, {**OURS, **NORM}),
    ('plain', {'optim_wrapper.clip_grad': None}, OURS),
    ('mixed', {'model.student.train_cfg': AUGMENTS, 'optim_wrapper.type': 'AmpOptimWrapper'},
     {**OURS, **NORM, **ONE_HOT})])
def test_step_reads_all_losses_at_once_and_nothing_else_of_ours(tmp_path, small_teacher, name, options, want):
    cfg = demo_config(name, tmp_path, small_teacher if name == 'mixed' else None, **{
        'default_hooks.logger.interval': 2, **options})
    assert reads_per_step(cfg) == want


def test_reads_are_counted():
    found = Counter()
    with Methods(found), Operators(found):
        x = torch.arange(3.0)
        x.sum().item()
        x[x > 1]
        torch.nonzero(x)
    assert {name for _, name in found} == {'item', '_local_scalar_dense', 'index', 'nonzero'}


def test_noise_brings_no_numbers_to_the_device():
    """A copy from the host waits, too."""
    class Copies(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            called.add(getattr(func, '__name__', ''))
            return func(*args, **(kwargs or {}))

    called, logits = set(), torch.randn(3, 5, 4)
    with Copies():
        for mixture in MIXTURES:
            nld_loss(*logits, tau=2.0, mixture=mixture)
    assert 'log_softmax' in called and not called & {'tensor', 'new_tensor', 'as_tensor', 'from_numpy'}


def test_recorder_copies_nothing():
    network, outputs = tiny_cnn(), []
    network.stage1.register_forward_hook(lambda _, args, out: outputs.append(out))
    recorder = FeatureRecorder(network, ['stage1', 'stage2:input'])
    with recorder:
        network(torch.randn(2, 1, 8, 8))
    assert all(feature is outputs[0] for feature in recorder.features.values())
    recorder.clear()
    assert not recorder._calls and not recorder._handles
