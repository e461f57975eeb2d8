"""The teacher's words, kept for as many epochs as draw anew."""
import hashlib
import json
import logging
import textwrap
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from bkdsnn.config.differences import differences
from bkdsnn.registry import MODELS
from bkdsnn.utils.atomic import write_atomically, write_json
from bkdsnn.utils.disk import reason_of

from ...layers import mark_time
from .files import CLAIM, CacheFiles, Claim
from .taps import DTYPES, StoredTap

ON_MISMATCH = ('rebuild', 'raise')
ACCURACY = 'accuracy.json'
Features = Dict[str, Tensor]


@MODELS.register_module()
class TeacherCache:
    """Keeps what losses ask of a teacher, so that it runs once for each batch that is drawn anew.

    Each cache has a folder of its own in ``folder``, named by what it depends on. One that does not fit is never
    changed: another is filled beside it, and the log says what differs.

    Args:
        folder: Where the caches are.
        dtype: ``'float32'``, which is exact, or ``'float16'``, which rounds and takes half the room.
        top_k: How many logits to keep of each sample, the largest; the others come back as one number, so this loses
            what the teacher says of them. ``None`` keeps all.
        on_mismatch: What to do where the folder has caches and none fits: ``'rebuild'``, or ``'raise'`` an error.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, folder: str, dtype: str = 'float32', top_k: Optional[int] = None,
                 on_mismatch: str = 'rebuild') -> None:
        for name, value, known in (('dtype', dtype, DTYPES), ('on_mismatch', on_mismatch, ON_MISMATCH)):
            if value not in known:
                raise ValueError(f'model.teacher_cache.{name}={value!r} is unknown; choose from {list(known)}.')
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f'model.teacher_cache.top_k={top_k!r} must be a whole number of at least 1, or None.')
        if not isinstance(folder, str) or not folder:
            raise ValueError(f'model.teacher_cache.folder={folder!r} must be a path.')
        self.folder, self.dtype, self.top_k, self.on_mismatch = Path(folder).expanduser(), dtype, top_k, on_mismatch
        self.identity: Dict[str, Any] = {}
        self.taps: Tuple[StoredTap, ...] = ()
        self.files: Optional[CacheFiles] = None
        self._place: Optional[Tuple[int, int]] = None
        self._states: Optional[Tuple[str, Tensor]] = None

    def __deepcopy__(self, memo: dict) -> 'TeacherCache':
        return self

    # ---- while the model is built ----

    def stands_in(self, identity: Dict[str, Any], paths: Sequence[str], logits: Sequence[str]) -> bool:
        """Whether there is a complete cache of a teacher, so that it need not be built to know its features.

        Then PyTorch's random numbers go on as if it had been built, for what is drawn after it.

        Args:
            identity: Of the teacher, see :func:`bkdsnn.models.teachers.identity.identity_of`.
            paths: Where losses ask it.
            logits: Those of its logits.
        """
        self.identity, self.paths = identity, list(dict.fromkeys(paths))
        self.logits = set(logits)
        if not self.paths:
            raise ValueError('model.teacher_cache: no loss asks for what the teacher says, so there is nothing to '
                             'keep. Set it to None.')
        if self.top_k is not None and not self.logits & set(self.paths):
            raise ValueError(f'model.teacher_cache.top_k={self.top_k} keeps the largest logits, but no loss asks for '
                             'the teacher\'s logits. Set it to None.')
        before = _digest(torch.get_rng_state().numpy().tobytes())
        for folder, claim in self._others():
            wanted = self._wanted(claim)
            if wanted is None or claim.key['teacher'] != identity:
                continue
            states = folder / f'{before}.state'
            if states.is_file() and CacheFiles(folder).done.all():
                torch.set_rng_state(torch.frombuffer(bytearray(states.read_bytes()), dtype=torch.uint8))
                self.taps = wanted
                return True
        self._states = (before, torch.empty(0))
        return False

    def note_random_state(self) -> None:
        """The teacher was built after all: keep what is drawn next, for runs that need not build it."""
        self._states = (self._states[0], torch.get_rng_state())

    def examples(self) -> Features:
        """Features of the shapes that the teacher has for a single sample."""
        return {tap.path: mark_time(torch.zeros(tap.batch_shape(1)), tap.has_time) for tap in self.taps}

    def learn_shapes(self, features: Features) -> None:
        """Take the shapes of a single sample's features from the teacher."""
        self.taps = tuple(StoredTap.of(path, features[path], self.dtype,
                                       self.top_k if path in self.logits else None) for path in self.paths)

    def _wanted(self, claim: Claim) -> Optional[Tuple[StoredTap, ...]]:
        """Those of a cache's taps that losses ask for; ``None`` if it lacks one, or keeps it in another way."""
        known = {tap.path: tap for tap in claim.taps}
        found = tuple(known[path] for path in self.paths if path in known)
        fits = all(tap.dtype == self.dtype and tap.top_k == (self.top_k if tap.path in self.logits else None)
                   for tap in found)
        return found if fits and len(found) == len(self.paths) else None

    # ---- before training ----

    def open(self, key: Dict[str, Any], epochs: int, processes: int, steps: int, batch_size: int) -> None:
        """Open the cache that fits, or make an empty one.

        Args:
            key: All that what the teacher says depends on, besides its own identity, as plain data.
            epochs: After how many epochs the draws repeat.
            processes: Of the training.
            steps: In an epoch of one process.
            batch_size: Most samples in a batch.

        Raises:
            ValueError: If files are damaged, the disk has too little room, or none fits and that is to be an error.
            OSError: If the disk cannot be written.
        """
        claim = Claim(dict(key, teacher=self.identity), self.taps, epochs, processes, steps, batch_size)
        others = self._others()
        # One that holds more than is asked for can be read, but not filled.
        fitting = [folder for folder, other in others if other.key == claim.key and self._wanted(other) is not None
                   and (len(other.taps) == len(self.taps) or CacheFiles(folder).done.all())]
        folder = fitting[0] if fitting else self.folder / _digest(json.dumps(
            [claim.key, [vars(tap) for tap in claim.taps]], sort_keys=True).encode())
        if not fitting and others:
            self._say_what_differs(claim, others)
        try:
            self.files = CacheFiles.create(folder, claim)
        except OSError as error:
            raise OSError(f'teacher cache: {reason_of(error) or error} Choose another model.teacher_cache.folder, or '
                          'drop model.teacher_cache.') from error
        self.files.check_room()
        self._columns = [self.files.claim.taps.index(tap) for tap in self._wanted(self.files.claim)]
        if self._states is not None and len(self._states[1]):
            self._note(f'{self._states[0]}.state', self._states[1].numpy().tobytes())
        done = self.files.done
        print_log(f'Teacher cache: {int(done.sum()):,} of {len(done):,} batches are in {folder}, '
                  f'{self.files.stored_bytes / 1e9:,.2f} of {self.files.claim.total_bytes / 1e9:,.2f} GB.'
                  + (f' Of logits the {self.top_k} largest are kept, which is not all that the teacher says.'
                     if self.top_k else ''), logger='current')

    def _note(self, name: str, content: bytes) -> None:
        """Write a small file into the cache, unless it is there."""
        path = self.files.folder / name
        if not path.exists():
            write_atomically(path, lambda file: file.write(content))

    def _others(self) -> List[Tuple[Path, Claim]]:
        """The caches that are there."""
        return [(path.parent, Claim.read(path.parent)) for path in sorted(self.folder.glob(f'*/{CLAIM}'))]

    def _say_what_differs(self, claim: Claim, others: List[Tuple[Path, Claim]]) -> None:
        """Log, or raise, what the nearest of the caches has that this run has not."""
        changes = {folder: _changes(other, claim) for folder, other in others}
        nearest = min(changes, key=lambda folder: len(changes[folder]))
        text = '; '.join(f'{key} was {_short(then)} and is {_short(now)}'
                         for key, (then, now) in changes[nearest].items())
        if self.on_mismatch == 'raise':
            raise ValueError(f'teacher cache: {nearest} does not fit this run: {text}. Change it back, set '
                             "model.teacher_cache.on_mismatch='rebuild' for one that fits beside it, or choose another "
                             'model.teacher_cache.folder.')
        print_log(f'Teacher cache: {nearest} does not fit this run: {text}. A new one is filled beside it; remove the '
                  'old one when no run needs it.', logger='current', level=logging.WARNING)

    @property
    def is_complete(self) -> bool:
        """Whether it is open and holds all batches."""
        return self.files is not None and bool(self.files.done.all())

    def accuracy_on(self, data: Optional[str]) -> Optional[float]:
        """Of the teacher on validation data, in percent, as a run that has loaded it has measured, else ``None``.

        Args:
            data: The config of the data, as text; ``None`` for whatever they were.
        """
        path = None if self.files is None else self.files.folder / ACCURACY
        known = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        return known.get('accuracy') if data in (None, known.get('data')) else None

    def keep_accuracy(self, accuracy: float, data: str) -> None:
        """Keep for :meth:`accuracy_on` what was measured."""
        if self.files is not None and accuracy != self.accuracy_on(data):
            write_json(self.files.folder / ACCURACY, dict(accuracy=accuracy, data=data))

    # ---- while it trains ----

    def go_to(self, epoch: int, rank: int, step: int, batch: int) -> None:
        """Say which batch comes next; ``batch`` is a check sum of it."""
        self._place = self.files.claim.number(epoch, rank, step), batch

    def leave(self) -> None:
        """No batch of the training comes next."""
        self._place = None

    @property
    def is_at_batch(self) -> bool:
        """Whether a batch of the training comes next, and not another one that is shown to the teacher."""
        return self._place is not None

    def has(self, epoch: int, rank: int, step: int) -> bool:
        """Whether a batch is there."""
        return bool(self.files.done[self.files.claim.number(epoch, rank, step)])

    @torch.compiler.disable
    def replay(self, inputs: Tensor, ask: Callable[[Tensor], Features]) -> Features:
        """What the teacher says of the batch that comes next: from the cache, or asked and kept.

        Args:
            inputs: The teacher's view of the batch.
            ask: Runs the teacher.

        Raises:
            ValueError: If the cache holds another batch in this place.
        """
        number, batch = self._place
        try:
            found = self.files.read(number)
        except ValueError as error:
            print_log(f'Teacher cache: {error}; the teacher is asked again.', logger='current', level=logging.WARNING)
            found = None
        if found is None:
            return self._ask(number, batch, inputs, ask)
        record, contents = found
        if record['batch'] != batch or record['samples'] != len(inputs):
            raise ValueError(f'teacher cache: {self.files.folder} holds another batch than the one that was drawn in '
                             f'its place (number {number}). Data have changed under their names, or something in '
                             'train_dataloader.dataset.pipeline does not follow the seed of the epoch. Remove the '
                             'folder, or drop model.teacher_cache.')
        taps, samples = self.files.claim.taps, int(record['samples'])
        return {taps[i].path: _restored(taps[i], contents[i], samples, int(record['orders'][i]), inputs.device)
                for i in self._columns}

    def _ask(self, number: int, batch: int, inputs: Tensor, ask: Callable[[Tensor], Features]) -> Features:
        features, samples = ask(inputs), len(inputs)
        packed = {tap: tap.pack(features[tap.path], samples) for tap in self.files.claim.taps if tap.path in features}
        if len(packed) == len(self.files.claim.taps):  # a batch must not be left without what the cache claims to hold
            self.files.write(number, [content for content, _ in packed.values()], batch, samples,
                             [order for _, order in packed.values()])
        # What is kept and not what was said, so that a first run is the same as all later ones where that is rounded.
        return {tap.path: _restored(tap, content, samples, order, inputs.device)
                for tap, (content, order) in packed.items()}


def _restored(tap: StoredTap, content: Any, samples: int, order: int, device: torch.device) -> Tensor:
    return mark_time(tap.unpack(content, samples, order).to(device, non_blocking=True), tap.has_time)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _short(value: str) -> str:
    return textwrap.shorten(value, 160, placeholder=' ...')


def _changes(then: Claim, now: Claim) -> Dict[str, List[str]]:
    """By key, what a cache holds and what is wanted of it, where they differ."""
    changes = differences([then.key, now.key])
    if [vars(tap) for tap in then.taps] != [vars(tap) for tap in now.taps]:
        changes['what is kept'] = [', '.join(map(str, claim.taps)) for claim in (then, now)]
    return changes
