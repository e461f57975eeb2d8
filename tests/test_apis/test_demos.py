"""The demos' command lines: what they print, write, and say of bad input."""
import json
import re
import runpy
import shutil
import sys
import time

import numpy as np
import pytest
from PIL import Image

from bkdsnn.datasets.event_files import read_events
from helpers import REPOSITORY, run_tool

FOLDER = REPOSITORY / 'demo'
SAMPLES = FOLDER / 'samples'


@pytest.fixture
def demo(monkeypatch, tmp_path, capsys):
    """Runs a demo in a folder of its own; returns its exit status and what it wrote to both outputs."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(FOLDER / name), run_name='__main__')
            raise SystemExit(0)
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def test_samples_are_classified_without_arguments(demo, tmp_path):
    code, out, _ = demo('image_demo.py', '--json', 'out.json', '--show-dir', 'pictures')
    results = json.loads((tmp_path / 'out.json').read_text())
    assert not code and 'demo/mixed' in out and 'Mean: 2.00 of 2 steps' in out
    assert [re.search(r'(\d)\.png', result['name'])[1] for result in results] == list('0123456789')
    for result in results:
        assert re.search(rf'{result["name"][-5:]} . {result["pred_class"]} +. {result["pred_score"]:.3f} ', out)
    assert len(list((tmp_path / 'pictures').iterdir())) == 10


def test_what_fails_is_listed_and_makes_the_exit_status(demo, tmp_path):
    folder = tmp_path / 'images'
    shutil.copytree(SAMPLES / 'digits', folder)
    (folder / '3.png').write_bytes(b'text')
    code, out, _ = demo('image_demo.py', folder, 'demo/teacher')
    assert code and out.count('.png') == 10 and f'Not predicted: {folder / "3.png"} cannot be read' in out
    assert 'spikes' not in out


def test_json_on_the_standard_output_is_alone_there(tmp_path):
    done = run_tool(FOLDER / 'event_demo.py', SAMPLES / 'recordings' / '1.npy', '--json', '-', '--time-steps', 8,
                    '--threshold', 0.99, cwd=tmp_path)
    (result, ) = json.loads(done.stdout)
    assert done.returncode == 0 and len(result['step_scores']) == result['steps']
    assert '8 time steps' in done.stderr and '1.npy' in done.stderr


def test_live_demo_follows_a_recording(demo, tmp_path):
    code, out, _ = demo('event_demo.py', SAMPLES / 'recordings', '--live', '--json', 'out.json')
    results = json.loads((tmp_path / 'out.json').read_text())
    assert not code and [r['step'] for r in results] == [1, 2, 3, 4] and '0.npy, demo/events_mixed' in out
    assert sum(r['events'] for r in results) == len(read_events(SAMPLES / 'recordings' / '0.npy'))
    assert [r['step'] for r in results] == [1, 2, 3, 4]
    code, out, _ = demo('event_demo.py', SAMPLES / 'recordings' / '1.npy', '--live', '--window-ms', 100, '--json', '-')
    assert len(json.loads(out)) == 3
    code, out, _ = demo('event_demo.py', SAMPLES / 'recordings' / '1.npy', '--live', '--time-steps', 6, '--json', '-')
    assert not code and len(json.loads(out)) == 6


def test_a_long_pause_of_a_recording_is_waited_for(monkeypatch):
    replay = runpy.run_path(str(FOLDER / 'event_demo.py'))['replay']
    events = np.array([(0, 0, t, 1) for t in (7_000_000, 7_000_100, 0, 4_999, 60_000_000)],
                      dtype=[(name, 'u4') for name in 'xytp'])
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(time, 'sleep', lambda seconds: now.append(now.pop() + seconds))
    sent = [(chunk['t'].tolist(), round(now[0], 6)) for chunk in replay(events)]
    assert sent == [([0, 4_999], 0.005), ([7_000_000, 7_000_100], 7.005), ([60_000_000], 60.005)]


@pytest.mark.parametrize('name, arguments, words', [
    ('image_demo.py', ['nowhere/'], None), ('image_demo.py', ['.'], 'holds nothing to read'),
    ('image_demo.py', [SAMPLES / 'digits', 'demo/mixd'], 'demo/mixed'),
    ('image_demo.py', ['--show'], '--show-dir'), ('event_demo.py', ['--window-ms', '5'], 'nothing without --live'),
    ('event_demo.py', ['--live', '--threshold', '0.9'], '--threshold does nothing with --live'),
    ('event_demo.py', ['--live', '--window-events', '0'], 'count=0')])
def test_bad_arguments_are_one_paragraph(demo, name, arguments, words):
    code, out, err = demo(name, *arguments)
    if words is None:
        assert code and 'Not predicted: nowhere does not exist.' in out
    else:
        assert re.fullmatch(r'Error: .*', code) and words in code


def test_samples_are_those_that_their_page_makes(tmp_path, monkeypatch):
    code = re.search(r'```python\n(.*?)```', (SAMPLES / 'README.md').read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    shipped, made = ({path.relative_to(root): path for path in root.rglob('*.*') if path.suffix in ('.png', '.npy')}
                     for root in (SAMPLES, tmp_path))
    assert set(shipped) == set(made) and len(made) == 15
    for name, path in made.items():
        read = np.load if path.suffix == '.npy' else lambda path: np.asarray(Image.open(path))
        np.testing.assert_array_equal(read(path), read(shipped[name]))
