"""Checkpoints damaged at random, by every route: an error that names the file, or the very result of the whole one."""
import argparse
import copy
import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from bkdsnn import SpikingInferencer, init_model
from bkdsnn.apis.cli import MENDABLE
from bkdsnn.checkpoints.files import check_resumable, load_file, load_weights, save_file
from bkdsnn.checkpoints.tensor_files import HEADER_KEY
from bkdsnn.config.networks import student_config
from bkdsnn.engine.hooks import checkpoint_check_hook
from bkdsnn.export.command import load_student
from bkdsnn.models import FrozenTeacher
from helpers import assert_same_checkpoint, demo_config

DAMAGES = 200


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A runner after an epoch, the config of its network, and its checkpoint in three formats."""
    folder = tmp_path_factory.mktemp('run')
    cfg = demo_config('plain', folder, epochs=1, **{
        'log_level': 'ERROR', 'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None})
    cfg.merge_from_dict({'model.backbone.arch': dict(layers=(1, ), widths=(4, )), 'model.head.in_channels': 4})
    cfg.dump(str(folder / 'tiny.py'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    path = folder / 'epoch_1.pth'
    whole = load_file(str(path))
    network = cfg.to_dict()
    network['model'] = student_config(cfg.model)
    shared = dict(state_dict=whole['state_dict'],
                  meta=dict(config_json=json.dumps(network), dataset_meta=whole['meta']['dataset_meta']))
    for suffix in ('.pth', '.safetensors'):
        save_file(shared, str(folder / f'shared{suffix}'))
    files = dict(run=path, published=folder / 'shared.pth', safetensors=folder / 'shared.safetensors')
    contents = dict(run=whole, published=shared, safetensors=shared)
    return SimpleNamespace(runner=runner, config=str(folder / 'tiny.py'), files=files, contents=contents,
                           weights=whole['state_dict'], state=state_of(runner), network=network['model'], said=[])


def state_of(runner):
    """All that a resumed run goes on with."""
    return copy.deepcopy(dict(
        state_dict=runner.model.state_dict(), optimizer=runner.optim_wrapper.state_dict(),
        param_schedulers=[scheduler.state_dict() for scheduler in runner.param_schedulers],
        meta=dict(epoch=runner.epoch, iter=runner.iter, seed=runner.seed)))


def forget(model):
    for tensor in model.state_dict().values():
        tensor.fill_(3)
    return model


def resume(path, run):
    run.said.clear()
    check_resumable(path)
    forget(run.runner.model)
    run.runner._resume, run.runner._load_from = True, path
    run.runner.resume(path)
    run.runner.train_loop._epoch, run.runner.train_loop._iter = run.runner.epoch, run.runner.iter
    now, whole = state_of(run.runner), copy.deepcopy(run.state)
    if any('has no state of the optimizer for' in line for line in run.said):
        now['optimizer']['state'] = whole['optimizer']['state'] = {}
    assert_same_checkpoint(now, whole)
    return run.runner.model


def load_from(path, run):
    run.runner._resume, run.runner._load_from = False, path
    forget(run.runner.model)
    run.runner.load_checkpoint(path)
    return run.runner.model


def fill(path, run):
    load_weights(forget(run.runner.model), path)
    return run.runner.model


def export(path, run):
    return load_student(argparse.Namespace(config=run.config, checkpoint=path, cfg_options=None, num_samples=1,
                                           shape=[1, 8, 8], no_normalise=True)).model


ROUTES = dict(
    resume=resume, load_from=load_from, test=fill, export=export,
    teacher=lambda path, run: FrozenTeacher(run.network, path).network,
    init_model=lambda path, run: init_model(run.config, path),
    inferencer=lambda path, run: SpikingInferencer(run.config, path).model,
    published=lambda path, run: SpikingInferencer(path).model)
TAKES = dict(run=['resume', *sorted(ROUTES.keys() - {'published'})], published=sorted(ROUTES.keys() - {'resume'}),
             safetensors=sorted(ROUTES.keys() - {'resume'}))


# ---- damage ----

def bytes_damaged(content, rng):
    """A file's bytes with some missing or changed."""
    content, kind = bytearray(content), rng.choice(['cut', 'flip', 'flip', 'zeros', 'empty', 'append'])
    place = rng.randrange(len(content))
    if kind == 'cut':
        del content[place:]
    elif kind == 'flip':
        for _ in range(rng.choice([1, 1, 8])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 'zeros':
        content[place:place + 64] = bytes(len(content[place:place + 64]))
    elif kind == 'append':
        content += bytes(rng.randrange(1, 100))
    else:
        content.clear()
    return bytes(content), kind


def places_in(value, found):
    """All (container, key) in nested containers."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            places_in(value[key], found)
    return found


def tensor_damaged(value, rng):
    """A tensor of another kind, shape or with numbers that are none."""
    changes = dict(
        int64=lambda: value.to(torch.int64), double=lambda: value.double(), boolean=lambda: value.bool(),
        complex=lambda: value.to(torch.complex64), array=lambda: value.numpy(), text=lambda: 'weights',
        flat=lambda: value.reshape(-1)[None], more=lambda: torch.cat([value.reshape(-1)] * 2),
        empty=lambda: value.reshape(-1)[:0], sparse=lambda: value.to_sparse(), items=lambda: value.tolist())
    if value.is_floating_point() and value.numel():
        for number in (math.nan, math.inf):
            changed = value.clone()
            changed.reshape(-1)[rng.randrange(value.numel())] = number
            changes[str(number)] = lambda changed=changed: changed
    kind = rng.choice(sorted(changes))
    return changes[kind](), kind


def content_damaged(content, rng):
    """A checkpoint's content with a key or value changed, of the weights in half of the cases."""
    content = copy.deepcopy(content)
    root = content['state_dict'] if rng.random() < 0.5 else content
    owner, key = rng.choice(places_in(root, []))
    kind = rng.choice(['drop', 'rename', 'value', 'value'])
    if isinstance(owner, list) or kind == 'value':
        value = owner[key]
        if isinstance(value, torch.Tensor):
            owner[key], kind = tensor_damaged(value, rng)
        else:
            owner[key], kind = rng.choice([
                ('x', 'text'), (math.nan, 'NaN'), (None, 'None'), ([[]], 'list'), ({}, 'dict'), (np.zeros(2), 'array'),
                (torch.zeros(3), 'tensor')])
    elif kind == 'rename':
        owner[f'{key}x'] = owner.pop(key)
    else:
        del owner[key]
    return content, f'{key} {kind}'


def damaged(file, content, rng, path):
    """Write a damaged copy of a checkpoint; returns what was done."""
    if rng.random() < 0.4:
        damage, what = bytes_damaged(file.read_bytes(), rng)
        path.write_bytes(damage)
        return what
    changed, what = content_damaged(content, rng)
    if path.suffix == '.pth':
        torch.save(changed, path)
        return what
    try:
        write_safetensors(changed, path)
    except Exception:  # what the format cannot hold
        return damaged(file, content, rng, path)
    return what


def write_safetensors(content, path):
    """As another program would, which checks nothing."""
    from safetensors.torch import save_file as save
    save({key: value.contiguous() for key, value in content['state_dict'].items()}, path,
         {HEADER_KEY: json.dumps(content.get('meta', {}))})


def outcome(route, path, run):
    """The error of a route, or ``None`` where it has loaded the right weights."""
    try:
        model = ROUTES[route](str(path), run)
    except MENDABLE as error:
        assert not isinstance(error, AssertionError), str(error)
        return str(error)
    for key, value in model.state_dict().items():
        assert torch.equal(value, run.weights[key]), key
    assert (getattr(model, 'dataset_meta', None) or {}).get('classes') in (None, tuple('0123456789'))
    return None


@pytest.mark.parametrize('kind', TAKES)
def test_whole_files_load_by_every_route(kind, run):
    assert [outcome(route, run.files[kind], run) for route in TAKES[kind]] == [None] * len(TAKES[kind])


def fault(route, path, run):
    """What is wrong with the outcome of a route, and whether the file was refused."""
    try:
        message = outcome(route, path, run)
    except Exception as error:
        return f'{type(error).__name__}: {error}', True
    if message is None:
        return None, False
    return (None if str(path) in message and 'weights_only' not in message else f'says {message}'), True


@pytest.mark.parametrize('kind', TAKES)
def test_a_damaged_file_is_an_error_or_loads_as_the_whole_one(kind, run, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_check_hook, 'print_log', lambda line, **_: run.said.append(line))
    faults, refused = [], 0
    for number in range(DAMAGES):
        rng = random.Random(f'{kind} {number}')
        path = tmp_path / f'net{run.files[kind].suffix}'
        what = damaged(run.files[kind], run.contents[kind], rng, path)
        # All read by one function, so they take turns.
        for route in rng.sample(TAKES[kind], 2 if kind == 'run' else 1):
            wrong, is_refused = fault(route, path, run)
            refused += is_refused
            faults += [f'{number}, {what}, {route}: {wrong}'] if wrong else []
    assert not faults, '\n'.join(faults)
    assert refused > DAMAGES / 2
