"""What the installed package promises: quiet, light, and findable models."""
import subprocess
import sys
import zipfile

import pytest

import bkdsnn
from bkdsnn.registry import MODELS
from helpers import REPOSITORY


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


def test_wheel_carries_configs_tools_and_splits(tmp_path):
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', tmp_path,
                    REPOSITORY], check=True, cwd=tmp_path)
    (wheel, ) = tmp_path.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {'bkdsnn/.mim/configs/demo/mixed.py', 'bkdsnn/.mim/configs/_base_/default_runtime.py',
            'bkdsnn/.mim/tools/train.py', 'bkdsnn/.mim/tools/dist_train.sh', 'bkdsnn/.mim/model-index.yml',
            'bkdsnn/datasets/splits/digits.json'} <= names
    # Unpacked alone, it still finds its configs.
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    done = subprocess.run([sys.executable, '-c', 'import bkdsnn; print(bkdsnn.__file__); '
                           'print(type(bkdsnn.get_model("demo/mixed")).__name__)'], cwd=tmp_path / 'site',
                          capture_output=True, text=True, check=True)
    assert str(tmp_path / 'site') in done.stdout and 'SpikingClassifier' in done.stdout
