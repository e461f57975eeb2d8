"""What a comparison asks for, and the config of each of its runs."""
import copy
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.config import Config

from ..config.checks import check_options, found_at
from ..config.data import same_source
from ..config.files import read_config_file
from ..config.methods import apply_method, find_pair
from ..config.networks import model_config, student_config
from ..config.neurons import apply_neuron
from ..models.losses.schedule import is_number
from .grid import Axis, Place
from .identity import config_hash
from .ledger import Key

PLAIN = 'plain'
LEARNING_RATE = 'optim_wrapper.optimizer.lr'
# Seeds of the search, which are not those of the comparison.
FIRST_TUNING_SEED = 100


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Attributes:
        pair: Name of a pair, or path of a config with ``model.student``.
        methods: Names of methods, or paths of files with ``losses``; ``'plain'`` is the student alone.
        out: Folder for all that comes of it.
        seeds: How many runs each method has at its chosen point, with the seeds 0, 1, ...
        points: How many points are tried for each; 0 takes the numbers of the pair and the method.
        tune_seeds: How many runs each point has, with the seeds 100, 101, ...
        options: Settings of the pair to override.
        keep: Whether work directories are kept.
        neurons: Names of neurons for the student, or paths of files with one, with each of which each method is
            compared; none takes the pair's own.
        retry_before: Runs that failed before this date are tried again.
        vary: Values by config key, each of which is compared with each of the others: ``losses.loss_bkd.blur_ratio``
            is of the methods that have this loss, all other keys are of the pair. What is varied is not tuned.
        finalists: How many of the best points get more runs before one of them is chosen.
        final_seeds: How many more, with the seeds that follow.
        tune_on: Another pair whose search chooses the points, such as one of fewer data; ``None`` is the pair itself.

    Raises:
        ValueError: If a number is out of range, or a method is named twice.
    """

    pair: str
    methods: Tuple[str, ...]
    out: str
    seeds: int = 5
    points: int = 9
    tune_seeds: int = 2
    options: Dict[str, Any] = field(default_factory=dict)
    keep: bool = False
    retry_before: Optional[str] = None
    neurons: Tuple[str, ...] = ()
    vary: Dict[str, Tuple[Any, ...]] = field(default_factory=dict)
    finalists: int = 0
    final_seeds: int = 6
    tune_on: Optional[str] = None

    def __post_init__(self) -> None:
        for name, least in (('seeds', 1), ('points', 0), ('tune_seeds', 1), ('finalists', 0), ('final_seeds', 1)):
            if getattr(self, name) < least:
                raise ValueError(f'{name}={getattr(self, name)} must be at least {least}.')
        if self.finalists and not self.points:
            raise ValueError(f'finalists={self.finalists} are the best points of a search, and points=0 makes none.')
        if self.tune_on is not None and not self.points:
            raise ValueError(f'tune_on={self.tune_on!r} is where settings are searched, and points=0 makes no search.')
        if not self.methods:
            raise ValueError('name at least one method.')
        for kind, chosen in (('method', self.methods), ('neuron', self.neurons)):
            names = [Path(name).stem for name in chosen]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f'the {kind} {twice[0]!r} is named twice.')
        foreign = [key for key in self.options if key.startswith('model.losses')]
        if foreign:
            raise ValueError(f'{foreign[0]} belongs to a method, and options hold for all. Vary it (--vary '
                             f'{foreign[0].partition(".")[2]}=VALUE), or copy the file of the method from '
                             'configs/_base_/methods, change the number, and give its path as a method.')
        for key, values in self.vary.items():
            if not values or len(set(map(repr, values))) < len(values):
                raise ValueError(f'{key}={list(values)} is to be varied, but names no value, or one twice.')
            if key in self.options:
                raise ValueError(f'{key} is both set and varied.')
            if key.startswith('model.losses'):
                raise ValueError(f'{key} belongs to a method; vary {key.partition(".")[2]}.')

    @property
    def results(self) -> Path:
        """The file of results."""
        return Path(self.out) / 'results.jsonl'

    def entries(self) -> List['Entry']:
        """The methods, with each of the neurons, and their configs.

        Raises:
            FileNotFoundError, ValueError: If a pair, a method or a neuron does not exist, or an option is misspelled.
        """
        pair = self._read(self.pair)
        if self.tune_on is None:
            self._check_search(self.pair, pair)
        entries = self._entries_of(pair)
        if self.tune_on is not None:
            other = self._read(self.tune_on)
            self._check_search(self.tune_on, other)
            if same_source(other.val_dataloader.dataset, pair.test_dataloader.dataset):
                raise ValueError(f'{self.tune_on} validates on the test data of {self.pair}, which the search must '
                                 'not see.')
            for entry, searched in zip(entries, self._entries_of(other)):
                entry.searched = searched
        return entries

    def _read(self, name: str) -> Config:
        """A pair's config with the options.

        Raises:
            FileNotFoundError, ValueError: If it is not there, is no pair or has no splits, or an option is misspelled.
        """
        path = find_pair(name)
        if not Path(path).is_file():
            raise FileNotFoundError(f'there is no pair {name!r}; tools/list_experiments.py lists them, or give the '
                                    'path of a config.')
        pair = read_config_file(path)
        if 'student' not in pair.model:
            raise ValueError(f'{path} is no pair: it has no model.student.')
        if 'max_epochs' not in pair.train_cfg:
            raise ValueError(f'{path}: only training by epoch can be compared (train_cfg.max_epochs).')
        check_options({**self.options, **{key: values for key, values in self.vary.items() if not of_loss(key)}}, pair)
        pair.merge_from_dict(as_there(pair, self.options))
        for split in ('val', 'test'):
            if pair.get(f'{split}_dataloader') is None:
                raise ValueError(f'{name} has no {split}_dataloader.')
        return pair

    def _entries_of(self, pair: Config) -> List['Entry']:
        """The methods on one pair.

        Raises:
            FileNotFoundError, ValueError: If a method or a neuron does not exist, or a value that is varied tells no
                runs apart.
        """
        of_pair = {key: values for key, values in self.vary.items() if not of_loss(key)}
        of_losses = {key: values for key, values in self.vary.items() if of_loss(key)}
        found: Dict[str, Entry] = {}
        for neuron, settings in itertools.product(self.neurons or (None, ), every(of_pair)):
            cfg = copy.deepcopy(pair)
            cfg.merge_from_dict(as_there(cfg, settings))
            if neuron is not None:
                apply_neuron(cfg, neuron)
            for method, numbers in itertools.product(self.methods, every(of_losses)):
                entry = Entry.of(cfg, method, neuron, settings, numbers)
                entry.variation = {key: entry.variation[key] for key in self.vary if key in entry.variation}
                if found.setdefault(entry.name, entry).variation != entry.variation:
                    raise ValueError(f'two values that are to be varied are both {entry.name!r}; write them with fewer '
                                     'digits.')
        self._check_varied(list(found.values()))
        return list(found.values())

    def _check_varied(self, entries: List['Entry']) -> None:
        """Raise ValueError for a varied key that no method has, or whose values are one and the same run."""
        for key in self.vary:
            runs: Dict[tuple, set] = {}
            for entry in entries:
                if key in entry.variation:
                    others = {other: value for other, value in entry.variation.items() if other != key}
                    runs.setdefault((entry.method, entry.neuron, repr(others)), set()).add(config_hash(entry.config))
            if not runs:
                raise ValueError(f'{key} is to be varied, but none of the methods has the loss {key.split(".")[1]}.')
            if len(self.vary[key]) > 1 and all(len(hashes) == 1 for hashes in runs.values()):
                raise ValueError(f'{key} is to be varied, but does not tell runs apart: places of files, seeds and '
                                 'what is logged are no part of what decides about figures.')

    def _check_search(self, name: str, pair: Config) -> None:
        """Raise ValueError where the search would see test data."""
        if self.points and validates_on_test(pair):
            raise ValueError(
                f'{name} validates on its test data, which the search must not see. Hold out training data, of '
                'CIFAR with --cfg-options train_dataloader.dataset.indices=45000 val_dataloader.dataset.split=train '
                'val_dataloader.dataset.indices=-5000, or take the settings of the configs with --points 0.')


def validates_on_test(pair: Config) -> bool:
    """Whether a pair validates on its test data, or on some of them."""
    return same_source(pair.val_dataloader.dataset, pair.test_dataloader.dataset)


def name_of(method: str, neuron: Optional[str] = None, variation: Optional[Dict[str, Any]] = None) -> str:
    """Of a method with a neuron, as ``'plif-mixed'``, and with what is varied, as ``'mixed tau=4'``."""
    name = method if neuron is None else f'{neuron}-{method}'
    return f'{name} {text_of(variation)}' if variation else name


def every(values: Dict[str, Tuple[Any, ...]]) -> List[Dict[str, Any]]:
    """Each value of each key with each of the others."""
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def of_loss(key: str) -> bool:
    """Whether a key that is varied belongs to a method's loss."""
    return key.startswith('losses.')


@dataclass
class Entry:
    """A method in a comparison, with one of the neurons.

    Attributes:
        method: Its name.
        config: The pair's, with its losses.
        axes: What is tuned, the learning rate first; none where that is all and is varied.
        neuron: The neuron's name; ``None`` is the pair's own.
        variation: What is varied and its value here, by the key of the plan.
        searched: The same method on the pair that it is tuned on; ``None`` where that is this one.
    """

    method: str
    config: Config
    axes: List[Axis]
    neuron: Optional[str] = None
    variation: Dict[str, Any] = field(default_factory=dict)
    searched: Optional['Entry'] = None
    hashes: Dict[Tuple[float, ...], str] = field(default_factory=dict, repr=False)

    @property
    def pair(self) -> str:
        """Name of its pair."""
        return Path(self.config.filename).stem

    @property
    def name(self) -> str:
        """Of the method with the neuron and what is varied."""
        return name_of(self.method, self.neuron, self.variation)

    @classmethod
    def of(cls, pair: Config, method: str, neuron: Optional[str] = None, settings: Optional[Dict[str, Any]] = None,
           numbers: Optional[Dict[str, Any]] = None) -> 'Entry':
        """A method on a pair.

        Args:
            pair: The pair, which has the neuron and the settings already.
            method: Its name.
            neuron: The neuron's name.
            settings: What is varied of the pair.
            numbers: What is varied of losses; those of other methods are left out.
        """
        cfg = copy.deepcopy(pair)
        if method == PLAIN:
            cfg.model, searched = student_config(model_config(cfg)), []
        else:
            apply_method(cfg, method)
            searched = cfg.get('search', default_search(cfg.model.losses))
        losses = cfg.model.get('losses', {})
        numbers = {key: value for key, value in (numbers or {}).items() if key.split('.')[1] in losses}
        cfg.merge_from_dict(as_there(cfg, {f'model.{key}': value for key, value in numbers.items()}))
        variation = {**(settings or {}), **numbers}
        tuned = [(LEARNING_RATE, LEARNING_RATE, 3)]
        tuned += [(axis['key'], f'model.{axis["key"]}', axis['factor']) for axis in searched]
        axes = [Axis(key, start_of(cfg, key), factor) for short, key, factor in tuned if short not in variation]
        return cls(Path(method).stem, cfg, axes, neuron and Path(neuron).stem, variation)

    def point(self, place: Place) -> Dict[str, float]:
        """Values of the axes at a place of the grid, by config key."""
        return {axis.key: axis.value(steps) for axis, steps in zip(self.axes, place)}

    def config_at(self, point: Dict[str, float]) -> Config:
        """The config with the values of a point."""
        cfg = copy.deepcopy(self.config)
        cfg.merge_from_dict({key: set_value(value_at(cfg, key), value) for key, value in point.items()})
        return cfg

    def run(self, point: Dict[str, float], seed: int, split: str) -> 'Task':
        """One run of it."""
        values = tuple(point.values())
        if values not in self.hashes:
            self.hashes[values] = config_hash(self.config_at(point))
        return Task(self, point, seed, split, (self.hashes[values], seed, split))


class Task(NamedTuple):
    """One training and the split that it is measured on: ``'val'`` in the search, ``'test'`` for the table."""

    entry: Entry
    point: Dict[str, float]
    seed: int
    split: str
    key: Key

    @property
    def name(self) -> str:
        """Of its folder and its lock."""
        return '-'.join(map(str, self.key))

    def folder(self, out: str) -> Path:
        """Its work directory, while it is trained."""
        return Path(out) / 'running' / self.name

    def config(self, out: str) -> Config:
        """Its config, as ``tools/train.py`` would have it."""
        cfg = self.entry.config_at(self.point)
        cfg.merge_from_dict({'randomness.seed': self.seed, 'work_dir': str(self.folder(out))})
        return cfg

    def __str__(self) -> str:
        return f'{self.entry.name} {text_of(self.point)} seed {self.seed}'


def text_of(point: Dict[str, Any]) -> str:
    """A point in a few characters, as ``'lr=0.3 tau=4'``."""
    return ' '.join(f'{key.rpartition(".")[2]}=' + (f'{value:g}' if isinstance(value, float) else str(value))
                    for key, value in point.items())


def default_search(losses: Dict[str, Optional[dict]]) -> List[dict]:
    """What to tune of losses whose file has no ``search``: the first temperature, else the first weight."""
    for number, factor in (('tau', 2), ('loss_weight', 3)):
        for name, loss in losses.items():
            if isinstance((loss or {}).get(number), (int, float)):
                return [dict(key=f'losses.{name}.{number}', factor=factor)]
    return []


def value_at(cfg: Config, key: str) -> Any:
    """What stands at a dotted key.

    Raises:
        ValueError: If there is nothing.
    """
    value = found_at(cfg, key)
    if value is None:
        raise ValueError(f'{key} is to be tuned, but the config does not have it; write its value there.')
    return value


def as_there(cfg: Config, values: Dict[str, Any]) -> Dict[str, Any]:
    """Values by dotted key, as the config has them.

    Whole numbers become floats where it has one, as 10 and 10.0 are one run; where it has a schedule, a number is what
    the schedule ends at, as in the search.
    """
    found = {}
    for key, value in values.items():
        there = found_at(cfg, key)
        if type(value) is int and isinstance(there, float):
            value = float(value)
        is_scaled = isinstance(there, dict) and 'points' in there and is_number(value)
        found[key] = set_value(there, float(value)) if is_scaled else value
    return found


def start_of(cfg: Config, key: str) -> float:
    """The number at a key; of a schedule, its last."""
    value = value_at(cfg, key)
    value = value['points'][-1][1] if isinstance(value, dict) else value
    if not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f'{key}={value!r} is to be tuned, but is no positive number or schedule of such.')
    return float(value)


def set_value(old: Any, value: float) -> Any:
    """The value, or a schedule that is scaled so that it ends there."""
    if not isinstance(old, dict):
        return value
    scale = value / old['points'][-1][1]
    return dict(old, points=[(progress, scale * number) for progress, number in old['points']])
