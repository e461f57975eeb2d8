"""What the installed package promises: quiet, light, and findable models."""
import json
import subprocess
import sys
import tarfile
import zipfile

import pytest

import bkdsnn
from bkdsnn.registry import MODELS
from helpers import REPOSITORY, tool_environment


def python(code):
    return subprocess.run([sys.executable, '-W', 'default', '-c', code], capture_output=True, text=True, check=True)


def test_import_is_quiet_even_when_everything_is_loaded():
    done = python('import bkdsnn, bkdsnn.models, bkdsnn.datasets, bkdsnn.engine')
    assert done.stdout == '' and done.stderr == ''


def test_import_brings_no_model_code_of_other_libraries():
    # What mmpretrain's import does not load is loaded when it is needed.
    loaded = python('import bkdsnn, sys; print([m for m in ("mmpretrain.models", "timm", "sklearn") '
                    'if m in sys.modules])').stdout
    assert loaded.strip() == '[]'


def test_models_are_listed_and_built_by_name():
    names = bkdsnn.list_models('demo/*')
    assert {'demo/plain', 'demo/mixed', 'demo/teacher'} <= set(names)
    model = bkdsnn.get_model('demo/mixed')
    assert type(model).__name__ == 'SpikingClassifier' and not model.training


def test_unknown_model_offers_the_nearest_names():
    with pytest.raises(ValueError, match='demo/mixed'):
        bkdsnn.get_model('demo/mixd')


def test_registries_are_children_of_mmengines():
    from mmengine.registry import MODELS as PARENT
    assert MODELS.parent is PARENT and MODELS.scope == 'bkdsnn'


def test_wheel_carries_configs_weights_tools_demos_and_splits(tmp_path):
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', tmp_path,
                    REPOSITORY], check=True, cwd=tmp_path)
    (wheel, ) = tmp_path.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {'bkdsnn/.mim/configs/demo/mixed.py', 'bkdsnn/.mim/configs/_base_/default_runtime.py',
            'bkdsnn/.mim/tools/train.py', 'bkdsnn/.mim/tools/dist_train.sh', 'bkdsnn/.mim/model-index.yml',
            'bkdsnn/datasets/splits/digits.json', 'bkdsnn/report/page.html'} <= names
    weights = {f'bkdsnn/.mim/{path.relative_to(REPOSITORY).as_posix()}' for path in
               (REPOSITORY / 'configs').rglob('*.pth')}
    assert weights and weights == {name for name in names if name.endswith('.pth')}
    # Unpacked alone, it still finds its configs, weights and samples.
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    done = subprocess.run([sys.executable, '-c', 'import bkdsnn, sys; print(bkdsnn.__file__); '
                           'print(bkdsnn.list_models(pretrained=True)); '
                           'sys.path.insert(0, bkdsnn.__path__[0] + "/.mim/demo"); sys.argv = ["demo", "--json", '
                           '"out.json"]; import image_demo; image_demo.main()'],
                          cwd=tmp_path, env=tool_environment(PYTHONPATH=str(tmp_path / 'site')), capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / 'site') in done.stdout and "'demo/mixed'" in done.stdout and '0.png' in done.stdout
    assert len(json.loads((tmp_path / 'out.json').read_text())) == 10


def test_source_distribution_has_what_the_wheel_is_built_from(tmp_path):
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', tmp_path, 'sdist', '--dist-dir',
                    tmp_path], check=True, cwd=REPOSITORY, capture_output=True)
    (archive, ) = tmp_path.glob('*.tar.gz')
    with tarfile.open(archive) as tar:
        names = {name.partition('/')[2] for name in tar.getnames()}
    assert {'setup.py', 'README.md', 'LICENSE', 'model-index.yml', 'requirements/runtime.txt', 'demo/image_demo.py',
            'demo/samples/recordings/0.npy', 'tools/dist_train.sh', 'configs/demo/metafile.yml'} <= names
    assert {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / 'configs').rglob('*.pth')} <= names
    assert not any('__pycache__' in name for name in names)
