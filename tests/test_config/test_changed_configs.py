"""Shipped configs with something changed at random: an error that a user can mend, or a network that builds."""
import copy
import math
import re
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from test_configs import SMALL_ARCH

from bkdsnn.apis.cli import MENDABLE
from bkdsnn.config.checks import check_config
from bkdsnn.config.checks.parts import matches, parts_of, without_numbers
from bkdsnn.config.files import read_config_file
from bkdsnn.config.networks import model_config, student_config
from bkdsnn.registry import MODELS
from helpers import REPOSITORY

CONFIGS = ('demo/mixed', 'demo/events_mixed', 'demo/spikingformer_bkd_vit', 'demo/spikingformer_teacher_vit',
           'ann/vit-small-p16_8xb64-50e_cifar10-224px', 'bkd/sew_resnet_cifar10', 'bkd/spikformer_imagenet',
           'kd/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs',
           'snn/qkformer-10-384-t4_4xb48-310e_in1k', 'snn/e-spikeformer-12-512-t1_8xb128-150e_in1k',
           'bkd/maxformer-10-384-t4_vit-base_8xb64-200e_in1k')
# Where keys are names of one's own.
FREE = ('optim_wrapper.paramwise_cfg.custom_keys', 'model.losses')
# What may be below zero, infinite, or of another kind than it is.
SIGNED = ('**.mean', '**.v_reset', '**.fill_color', '**.pad_val')
INFINITE = ('optim_wrapper.clip_grad.max_norm', )
SCHEDULED = ('model.losses.*.loss_weight', 'model.losses.*.tau')  # their losses, which nothing here builds, check these


class Leaf(NamedTuple):
    """A number or switch of a config: the dict that it is in, its key, and its place in a list there."""

    path: str
    key: str
    index: tuple
    value: Any

    @property
    def place(self):
        return without_numbers(f'{self.path}.{self.key}' if self.path else self.key)


@cache
def shipped(name):
    """A config of the package with a small student, the places of its keys, and its numbers and switches."""
    cfg = read_config_file(REPOSITORY / 'configs' / f'{name}.py')
    student = cfg.model.get('student', cfg.model)
    if student.get('backbone', {}).get('type') in SMALL_ARCH and not name.startswith('demo'):
        student.backbone.arch = SMALL_ARCH[student.backbone.type]
        student.head.in_channels = 16
    known = [(part, key) for part in parts_of(cfg) for key in part.node
             if part.path or key in part.arguments.named and key != 'custom_imports']
    keys = [(part, key) for part, key in known if part.path not in FREE]
    leaves = [Leaf(part.path, key, index, value) for part, key in known
              for index, value in numbers_in(part.node[key], ())]
    return cfg, keys, leaves


def numbers_in(value, index):
    if isinstance(value, (bool, int, float)):
        yield index, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from numbers_in(item, (*index, i))


def node_at(cfg, path):
    for name in re.findall(r'[^.\[\]]+', path):
        cfg = cfg[int(name)] if isinstance(cfg, (list, tuple)) else cfg[name]
    return cfg


def with_value(value, index, new):
    """A value with another number at a place in it."""
    if not index:
        return new
    items = list(value)
    items[index[0]] = with_value(items[index[0]], index[1:], new)
    return type(value)(items)


def misspelled(draw, key):
    """A key with a slip of the pen."""
    i = draw(st.integers(0, len(key) - 1))
    kind = draw(st.sampled_from(['drop', 'double', 'exchange', 'replace']))
    if kind == 'exchange' and i + 1 < len(key) and key[i] != key[i + 1]:
        return key[:i] + key[i + 1] + key[i] + key[i + 2:]
    if kind == 'drop' and len(key) > 1:
        return key[:i] + key[i + 1:]
    return key[:i] + (key[i] * 2 if kind == 'double' else 'q') + key[i + 1:]


# By kind, what becomes of a number or switch, and where that is no mistake.
VALUES = {
    'NaN': (lambda value: math.nan, ()),
    'infinite': (lambda value: math.inf, INFINITE),
    'text': (str, ()),
    'word': (lambda value: 'abc', ()),
    'negative': (lambda value: -abs(value) - 1, SIGNED),
    'in a dict': (lambda value: dict(value=value), SCHEDULED),
    'None': (lambda value: None, ('**', )),  # which many arguments are where they are left out
    'in a list': (lambda value: [value], ('**', )),  # which some arguments take
}


class Changed(NamedTuple):
    """A shipped config with one change."""

    cfg: Config
    what: str
    is_mistake: bool

    def __repr__(self):
        return self.what


@st.composite
def changes(draw):
    """A change of a number, a switch or a key."""
    name = draw(st.sampled_from(CONFIGS))
    base, keys, leaves = shipped(name)
    cfg = copy.deepcopy(base)
    kind = draw(st.sampled_from(['key', 'key', 'lifted', *VALUES]))
    if kind in VALUES:
        leaf = draw(st.sampled_from(leaves))
        change, allowed = VALUES[kind]
        value = leaf.value
        if kind == 'negative' and isinstance(value, bool):
            kind, (change, allowed) = 'text', VALUES['text']
        node = node_at(cfg, leaf.path)
        node[leaf.key] = with_value(node[leaf.key], leaf.index, change(value))
        is_mistake = not any(matches(leaf.place, pattern) for pattern in allowed)
        return Changed(cfg, f'{name}: {leaf.path}.{leaf.key}{list(leaf.index)} {kind}', is_mistake)
    part, key = draw(st.sampled_from(keys))
    path = part.path
    node = node_at(cfg, path)
    value = node.pop(key)
    if kind == 'lifted' and path and '[' not in path and key not in ('type', '_scope_'):
        parent = path.rpartition('.')[0]
        above = next((part for part, _ in keys if part.path == parent), None)
        is_free = parent in ('', *FREE) or above is None or key in above.arguments.named  # a variable, or taken there
        node_at(cfg, parent)[key] = value
        return Changed(cfg, f'{name}: {path}.{key} lifted', not is_free)
    new = misspelled(draw, key)
    node[new] = value
    return Changed(cfg, f'{name}: {path}.{key} misspelled {new!r}', bool(path) or len(key) > 3)


def build(cfg):
    """The network that is trained, on which nothing is loaded."""
    network = student_config(model_config(cfg))
    if network.get('pretrained'):
        network['pretrained'] = False
    MODELS.build(network)


def test_configs_pass_unchanged():
    for name in CONFIGS:
        check_config(shipped(name)[0])
        build(copy.deepcopy(shipped(name)[0]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(changes())
def test_a_changed_config_is_an_error_that_can_be_mended_or_builds(change):
    cfg, what, is_mistake = change
    cfg = copy.deepcopy(cfg)  # hypothesis may run it again
    try:
        check_config(cfg)
        build(cfg)
    except MENDABLE as error:
        assert str(error), what
        return
    except Exception as error:
        pytest.fail(f'{what} gives {type(error).__name__}: {error}')
    assert not is_mistake, f'{what} passes silently'
