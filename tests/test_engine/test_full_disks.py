"""Disks that take no more: the error names the file, what is safe and how the run goes on."""
import builtins
import errno
import logging
import os
import re
import resource
import subprocess
from pathlib import Path

import pytest
from test_run_folders import config, with_scores

from bkdsnn.apis.cli import build_runner
from bkdsnn.checkpoints.files import latest_checkpoint, load_file
from bkdsnn.runs.full_disk import explained
from bkdsnn.runs.lock import locked
from bkdsnn.utils import atomic
from helpers import TOOLS, run_tool

SITES = {'checkpoint': 'epoch_2.pth', 'record': 'last_checkpoint', 'scalars': 'scalars.json', 'log': '.log'}


@pytest.mark.parametrize('site', SITES)
@pytest.mark.parametrize('code', [errno.EFBIG, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_is_named_with_what_is_safe(tmp_path, monkeypatch, site, code):
    """In the second epoch; the run goes on from the first."""
    cfg = config(tmp_path)
    runner = with_scores(build_runner(cfg), [10.0, 20.0])
    full = fill(monkeypatch, SITES[site], code, runner)
    with pytest.raises(OSError) as error, explained(str(tmp_path)):
        runner.train()
    full.undo()
    message = str(error.value)
    assert f'(errno {code})' in message and f'{SITES[site]} cannot be written: ' in message
    assert f'{tmp_path / "epoch_1.pth"} is whole, and the run goes on from it with --resume' in message
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')
    assert not list(tmp_path.glob('.*.partial'))
    assert all(load_file(str(path)) for path in tmp_path.glob('*.pth'))


class Full:
    """A file of which nothing more is taken."""

    def __init__(self, file, code):
        self.file, self.code = file, code

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def write(self, content):
        raise OSError(self.code, os.strerror(self.code))


def fill(monkeypatch, ending, code, runner):
    """Have files with this ending take nothing more from the second epoch on."""
    usual = builtins.open

    def refusing(file, mode='r', *args, **kwargs):
        opened = usual(file, mode, *args, **kwargs)
        name = re.sub(r'^\.(.*)\.\w{12}\.partial$', r'\1', Path(str(file)).name)
        is_full = name.endswith(ending) and mode != 'r' and runner.epoch >= 1
        return Full(opened, code) if is_full else opened

    monkeypatch.setattr(builtins, 'open', refusing)
    if ending == '.log':
        (handler, ) = [one for one in runner.logger.handlers if isinstance(one, logging.FileHandler)]
        write = handler.stream.write
        monkeypatch.setattr(handler, 'stream', Full(handler.stream, code), raising=False)
        monkeypatch.setattr(handler.stream, 'write', lambda text: (
            write(text) if runner.epoch < 1 else Full.write(handler.stream, text)), raising=False)
    return monkeypatch


def test_a_full_file_system_names_the_file(tmp_path):
    """A real one, where mounting is allowed."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', disk], check=False,
                                      capture_output=True).returncode:
        pytest.skip('mounting is not allowed here')
    try:
        cfg = config(tmp_path / 'disk' / 'work', epochs=9, **{'default_hooks.checkpoint.max_keep_ckpts': 10})
        cfg.dump(str(tmp_path / 'config_of_test.py'))
        done = run_tool('tools/train.py', tmp_path / 'config_of_test.py')
        assert done.returncode == 1
        assert 'no space is left on the device (errno 28). ' in done.stderr and 'Traceback' not in done.stderr
        latest = latest_checkpoint(disk / 'work')
        assert f'{latest} is whole, and the run goes on from it with --resume' in done.stderr
        assert load_file(latest) and not list(disk.rglob('*.partial'))
    finally:
        subprocess.run(['umount', disk], check=True)


def limited(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    atomic.write_atomically(Path(folder) / 'big', lambda file: file.write(bytes(2000)))


def test_a_file_beyond_the_limit_is_named(tmp_path):
    process = TOOLS.Process(target=says, args=(limited, str(tmp_path), str(tmp_path / 'said')))
    process.start()
    process.join()
    assert f"{errno.EFBIG}] File too large: '{tmp_path}/big'" in (tmp_path / 'said').read_text()
    assert not (tmp_path / 'big').exists() and not list(tmp_path.glob('.*'))


def says(function, folder, out):
    try:
        function(folder)
    except OSError as error:
        Path(out).write_text(str(error))


def test_a_folder_that_can_only_be_read_is_named_before_anything_runs(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, 'Read-only file system', str(tmp_path / 'work'))

    monkeypatch.setattr(Path, 'mkdir', refuse)
    with pytest.raises(OSError, match='can only be read .errno 30.. No checkpoint was written before'):
        with explained(str(tmp_path / 'work')), locked(tmp_path / 'work'):
            pass
