"""Reading config files: what breaks one is named with its file and line."""
import shutil

import pytest

import bkdsnn
from bkdsnn.config.files import read_config_file
from helpers import DEMO, REPOSITORY, run_tool

# Files by name, the last of which is read; and what the message has to have.
BROKEN = {
    'syntax': ({'mine.py': 'a = 1\nb = dict(c=2\nd = 3\n'}, ['mine.py, line 2', 'was never closed', 'b = dict(c=2']),
    'syntax of a base': ({'base.py': 'a = = 1\n', 'mine.py': "_base_ = ['base.py']\n"}, ['base.py, line 1', 'a = = 1']),
    'circle': ({'base.py': "_base_ = './mine.py'\n", 'mine.py': "_base_ = ['./base.py']\n"},
               ['base.py: its _base_ leads back to itself', 'mine.py -> ', 'base.py -> ']),
    'circle of one': ({'mine.py': "_base_ = 'mine.py'\n"}, ['mine.py: its _base_ leads back to itself']),
    'base that is missing': ({'bases.py': 'a = 1', 'mine.py': "a = 1\n_base_ = [\n    './basis.py',\n]\n"},
                             ['mine.py, line 3', 'basis.py, which its _base_ names', "'bases.py'"]),
    'name that is not there': ({'mine.py': 'a = 1\n\nc = a + b\n'}, ["mine.py, line 3: NameError: name 'b'"]),
    'key of a base': ({'base.py': 'model = dict(a=1)\n', 'mine.py': "_base_ = 'base.py'\na = _base_.model.b\n"},
                      ['mine.py, line 2', "no attribute 'b'"]),
    'key twice': ({'base.py': 'a = 1\n', 'base2.py': 'a = 2\n', 'mine.py': "_base_ = ['base.py', 'base2.py']\n"},
                  ['mine.py', "Duplicate keys: {'a'}"]),
    'dict over a number': ({'base.py': 'a = 1\n', 'mine.py': "_base_ = 'base.py'\na = dict(b=1)\n"},
                           ['mine.py', 'cannot inherit', '_delete_=True']),
    'bytes': ({'mine.py': b'\xff\xfe\x00'}, ['mine.py: it is no text of a .py file']),
    'other kind': ({'mine.txt': 'a = 1'}, ['mine.txt: a config is a file .py, .json']),
    'JSON': ({'mine.json': '{"a": 1,}'}, ['mine.json', 'line 1 column']),
    'YAML': ({'mine.yaml': 'a: [1,\nb: 2'}, ['mine.yaml', 'line 2']),
    'list in JSON': ({'mine.json': '[1]'}, ['mine.json: it is no text of a .json file']),
    'imports': ({'mine.py': "custom_imports = dict(imports=['never_was'])\n"},
                ["mine.py: custom_imports.imports='never_was'", 'PYTHONPATH']),
    'imports that break': ({'breaks.py': 'a = 1\nimport never_was\n',
                            'mine.py': "custom_imports = dict(imports='breaks')"},
                           ["custom_imports.imports='breaks'", "No module named 'never_was'", 'breaks.py, line 2']),
    'syntax of imports': ({'breaks_too.py': 'a = 1\nb = = 2\n',
                           'mine.py': "custom_imports = dict(imports='breaks_too')"},
                          ["custom_imports.imports='breaks_too'", 'breaks_too.py, line 2']),
}


def broken(name, folder):
    """The message about files that are broken."""
    files, _ = BROKEN[name]
    for file, content in files.items():
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_config_file(folder / file)
    return str(error.value)


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_config_is_named_with_its_line(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    message = broken(name, tmp_path)
    assert all(word in message for word in BROKEN[name][1]), message
    assert '\n' not in message and '/tmp/tmp' not in message.replace(str(tmp_path), '')


def test_a_config_that_is_missing_offers_the_nearest(tmp_path):
    with pytest.raises(FileNotFoundError, match="Did you mean 'mixed.py'?"):
        read_config_file(DEMO / 'mixd.py')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_config_file(tmp_path / 'nowhere' / 'a.py')


def test_variables_of_the_path_are_filled_in_as_mmengine_does(tmp_path):
    (tmp_path / 'base.py').write_text('b = 1')
    (tmp_path / 'mine.py').write_text("_base_ = '{{ fileDirname }}/base.py'\nfolder = '{{fileDirname}}'\n"
                                      "name = '{{ fileBasenameNoExtension }}{{ fileExtname }} {{ fileBasename }}'\n")
    cfg = read_config_file(tmp_path / 'mine.py')
    assert (cfg.b, cfg.folder, cfg.name) == (1, str(tmp_path), 'mine.py mine.py')


@pytest.fixture(scope='module')
def quoted(tmp_path_factory):
    """The package's configs in a folder with quotes in its name."""
    folder = tmp_path_factory.mktemp('a') / 'it\'s "mine"'
    for part in ('_base_', 'demo', 'ann', 'snn'):
        shutil.copytree(REPOSITORY / 'configs' / part, folder / 'configs' / part,
                        ignore=shutil.ignore_patterns('weights'))
    return folder / 'configs'


def test_quotes_in_the_path_are_read(quoted, monkeypatch):
    cfg = read_config_file(quoted / 'demo' / 'mixed.py')
    teacher = cfg.model.teacher.model
    assert teacher.startswith(str(quoted)) and read_config_file(teacher).model.backbone.depth == 18
    cfg.dump(str(quoted / 'dumped.py'))
    assert read_config_file(quoted / 'dumped.py').model.teacher.model == teacher
    monkeypatch.setattr('bkdsnn.apis.model.config_root', lambda: quoted)
    assert bkdsnn.get_model('demo/mixed')


@pytest.mark.parametrize('tool, arguments', [
    ('train.py', []), ('test.py', ['x.pth']), ('tune.py', ['--grid', 'a=1']), ('analysis_tools/get_flops.py', []),
    ('visualization/browse_dataset.py', []), ('analysis_tools/plan_memory.py', []),
    ('analysis_tools/plan_scaling.py', []),
    ('export_nir.py', ['x', '--out', 'y.nir'])])
def test_tools_say_what_breaks_a_config_in_one_line(tool, arguments, tmp_path):
    (tmp_path / 'mine.py').write_text('a = 1\nb = dict(c=2\nd = 3\n')
    done = run_tool(REPOSITORY / 'tools' / tool, tmp_path / 'mine.py', *arguments, cwd=tmp_path)
    assert done.returncode and 'Traceback' not in done.stderr
    assert 'Error: config ' in done.stderr and "mine.py, line 2: '(' was never closed" in done.stderr


def test_configs_are_read_in_one_place():
    """mmengine's own reader names temporary files, and breaks on quotes."""
    readers = [path.relative_to(REPOSITORY) for folder in ('bkdsnn', 'tools', 'demo') for path in
               (REPOSITORY / folder).rglob('*.py') if 'Config.fromfile(' in path.read_text()]
    assert [path.as_posix() for path in readers] == ['bkdsnn/config/files.py']
