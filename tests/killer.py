"""A hook with which runs end themselves; what and when is in the environment, as ``KILL='kind when rank'``.

Of several, with semicolons between them, the next is for processes that torchrun has started again.
"""
import json
import os
import signal
import sys
import time
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from bkdsnn.engine import atomic_backend
from bkdsnn.registry import HOOKS

# What a run writes that tells how far it is.
STATE = ('.pth', 'last_checkpoint', 'progress.json')


@HOOKS.register_module()
class Killer(Hook):
    """Ends the process without a word.

    Kinds: ``time`` after ``when`` seconds of its computing, ``files`` before the n-th time that a file of its state is
    opened, renamed or removed, ``half`` in the midst of the n-th checkpoint, ``validation`` after the n-th batch of
    validations. A run that is left alone writes down how many of each there are.
    """

    priority = 'LOWEST'

    def before_run(self, runner):
        kills = dict(enumerate(os.environ.get('KILL', 'none 0 0').split(';')))
        self.kind, when, rank = kills.get(int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)), 'none 0 0').split()
        self.when, self.is_meant = float(when), get_rank() == int(rank)
        self.counts, self.folder, self.start = dict(files=0, half=0, validation=0), runner.work_dir, time.process_time()
        if self.kind == 'time' and self.is_meant:
            # Its default action ends the process wherever it is.
            signal.setitimer(signal.ITIMER_PROF, self.when)
        sys.addaudithook(self.look)
        write = atomic_backend.write_atomically

        def write_half(path, write_all, sync):
            self.count('half', before=lambda: write(path, self.half_of(write_all), sync))
            write(path, write_all, sync)

        atomic_backend.write_atomically = write_half

    @staticmethod
    def half_of(write_all):
        def write_and_die(file):
            write_all(file)
            file.truncate(file.tell() // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return write_and_die

    def look(self, event, arguments):
        if event in ('open', 'os.rename', 'os.remove'):
            path = str(arguments[0])
            if path.startswith(self.folder) and any(name in path for name in STATE):
                self.count('files')

    def count(self, kind, before=lambda: os.kill(os.getpid(), signal.SIGKILL)):
        self.counts[kind] += 1
        if kind == self.kind and self.counts[kind] == self.when and self.is_meant:
            before()

    def after_val_iter(self, runner, *args, **kwargs):
        self.count('validation')

    def after_run(self, runner):
        if self.kind == 'none' and runner.rank == 0:
            seconds = time.process_time() - self.start
            (Path(self.folder) / 'counts.txt').write_text(json.dumps(dict(self.counts, time=seconds)))
