"""Files that run code where they are believed: each then makes the mark, an empty file."""
import collections
import io
import json
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

ATTACKS = {}


class Call:
    """An object whose pickle calls a function with arguments."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


class State:
    """An object whose pickle sets the state of what a call gives."""

    def __init__(self, function, args, state):
        self.parts = function, args, state

    def __reduce__(self):
        return self.parts


def attack(function):
    """Registers what writes a checkpoint: ``function(content, path, code)``, with real content to hide in."""
    ATTACKS[function.__name__] = function
    return function


def by_rebuilding(function, kind, *args):
    """PyTorch's own reader calls no function that it does not know, but this one calls whatever it is given."""
    return Call(torch._tensor._rebuild_from_type_v2, function, kind, args, None)


@attack
def system(content, path, code):
    """The usual one."""
    import os
    torch.save(dict(content, args=Call(os.system, f"{sys.executable} -c '{code}'")), path)


@attack
def exec_among_the_weights(content, path, code):
    torch.save(dict(content, state_dict=collections.OrderedDict(content['state_dict'], x=Call(exec, code))), path)


@attack
def exec_by_the_old_format(content, path, code):
    torch.save(dict(content, args=Call(exec, code)), path, _use_new_zipfile_serialization=False)


@attack
def exec_by_getattr_self(content, path, code):
    """``getattr.__self__`` is the module of all built-in functions."""
    function = Call(getattr, Call(getattr, getattr, '__self__'), 'exec')
    torch.save(dict(content, args=by_rebuilding(function, torch.Tensor, code)), path)


@attack
def exec_by_globals(content, path, code):
    """A function's ``__globals__`` hold ``__builtins__``."""
    names = Call(getattr, torch._tensor._rebuild_from_type_v2, '__globals__')
    builtins = by_rebuilding(Call(getattr, names, 'get'), Call(getattr, names, '__class__'), '__builtins__')
    function = by_rebuilding(Call(getattr, builtins, 'get'), Call(getattr, getattr, '__class__'), 'exec')
    torch.save(dict(content, args=by_rebuilding(function, torch.Tensor, code)), path)


@attack
def exec_in_a_history_buffer(content, path, code):
    """A statistic of the message hub that is read by ``getattr``, as honest ones are."""
    function = Call(getattr, Call(getattr, getattr, '__self__'), 'exec')
    state = dict(statistics_methods=dict(mean=by_rebuilding(function, torch.Tensor, code)))
    hub = dict(log_scalars={'train/loss': State(HistoryBuffer, (), state)}, runtime_info={}, resumed_keys={})
    torch.save(dict(content, message_hub=hub), path)


@attack
def exec_in_an_object_array(content, path, code):
    torch.save(dict(content, args=np.array([Call(exec, code)], object)), path)


@attack
def exec_in_an_optimizer(content, path, code):
    torch.save(dict(content, optimizer=dict(state={}, param_groups=[dict(lr=Call(exec, code))])), path)


@attack
def eval_by_a_namespace(content, path, code):
    """Arguments as other people's tools save them."""
    import argparse
    torch.save(dict(content, args=argparse.Namespace(model=Call(eval, code))), path)


@attack
def bare_pickle(content, path, code):
    with open(path, 'wb') as file:
        pickle.dump(Call(exec, code), file)


@attack
def more_pickles_in_the_archive(content, path, code):
    """TorchScript's archives have ``constants.pkl`` and code."""
    torch.save(content, path)
    with zipfile.ZipFile(path, 'a') as archive:
        root = archive.namelist()[0].split('/')[0]
        for name in ('constants.pkl', 'code/__torch__.py'):
            archive.writestr(f'{root}/{name}', pickle.dumps(Call(exec, code)))


@attack
def tar_of_pickles(content, path, code):
    """PyTorch's first format."""
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as archive:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            data = pickle.dumps(Call(exec, code), 2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@attack
def not_safetensors(content, path, code):
    """A pickle under the name of a format that holds none."""
    bare_pickle(content, path, code)


SUFFIXES = dict(not_safetensors='.safetensors')


def write(name: str, content: dict, folder: Path, code: str) -> str:
    """The file of an attack that runs ``code``."""
    path = folder / f'{name}{SUFFIXES.get(name, ".pth")}'
    ATTACKS[name](content, path, code)
    return str(path)


def write_published(config: dict, weights: dict, path: Path) -> str:
    """A file as ``publish_model.py`` writes them, with a config of one's own."""
    from bkdsnn.checkpoints.files import save_file
    save_file(dict(state_dict=weights, meta=dict(config_json=json.dumps(config), dataset_meta={})), path)
    return str(path)
