"""The weights that come with the package are what the zoo says of them."""
import json
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

import bkdsnn
from bkdsnn.apis import student_config
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.apis.model import published_weights
from bkdsnn.checkpoints.published import hash_in, sha256
from bkdsnn.comparison.identity import config_hash
from bkdsnn.config.files import read_config_file
from bkdsnn.config.networks import model_config
from bkdsnn.datasets import FashionMNIST
from bkdsnn.models.neurons import BaseNode
from helpers import DEMO


def listed(folder: str) -> dict:
    """Entries of a metafile by the models' names."""
    models = yaml.safe_load((DEMO.parent / folder / 'metafile.yml').read_text())['Models']
    return {f'{folder}/{entry["Name"]}': entry for entry in models}


CAMPAIGN = DEMO.parent.parent / 'benchmarks/results/compare/sew-resnet-t4_resnet_fashion-10pct.jsonl'
SHIPPED, CLOTHES = listed('demo'), listed('fashion')


def test_all_networks_of_the_demo_are_there_and_small():
    files = published_weights()
    assert set(SHIPPED) <= set(files)
    assert {'teacher', 'plain', 'mixed', 'events_teacher', 'events_plain', 'events_mixed',
            'spikingformer_teacher_vit'} == {Path(name).name for name in SHIPPED}
    paths = [Path(files[name]) for name in SHIPPED]
    assert sorted(paths) == sorted((DEMO / 'weights').iterdir())
    assert sum(path.stat().st_size for path in paths) < 6e6
    assert all(hash_in(path.name) == sha256(path)[:8] for path in paths)
    assert sorted(Path(files[name]) for name in CLOTHES) == sorted((DEMO.parent / 'fashion' / 'weights').iterdir())
    assert all(hash_in(file) == sha256(file)[:8] for file in map(files.get, CLOTHES))


@pytest.mark.parametrize('name', SHIPPED)
def test_accuracy_is_the_recorded_one(name):
    model = bkdsnn.get_model(name, pretrained=True)
    for module in model.modules():
        if isinstance(module, BaseNode):
            module.backend = 'eager'  # compiling would take longer
    recorded = SHIPPED[name]['Results'][0]['Metrics']['Top 1 Accuracy, trained here']
    # On another processor, one of the 897 images may be rounded across a threshold.
    assert evaluate(model) == pytest.approx(recorded, abs=0.12)
    assert model.dataset_meta['classes'] == tuple('0123456789')
    assert ('sensor_size' in model.dataset_meta) == ('events' in name)


@pytest.mark.parametrize('name', CLOTHES)
def test_accuracy_on_clothes_is_the_recorded_one(name):
    """On all 10,000 test pictures, where they are."""
    recorded = CLOTHES[name]['Results'][0]['Metrics']['Top 1 Accuracy, trained here']
    model = bkdsnn.get_model(name, pretrained=True)
    if not Path(FashionMNIST.system_folder).exists():
        pytest.skip(f'{FashionMNIST.package} is not installed')
    assert evaluate(model) == pytest.approx(recorded, abs=0.05)  # five pictures near a border
    assert 'Shirt' in model.dataset_meta['classes']


@pytest.mark.parametrize('name', [name for name in CLOTHES if 'teacher' not in name])
def test_students_on_clothes_are_runs_of_the_table(name):
    """Of the settings that the search has chosen, seed 0."""
    cfg = read_config_file(DEMO.parent / f'{name}.py')
    if 'student' not in cfg.model:
        cfg.model = student_config(model_config(cfg))
    (run, ) = [line for line in map(json.loads, CAMPAIGN.read_text().splitlines())
               if (line['config_hash'], line['seed'], line['split']) == (config_hash(cfg), 0, 'test')]
    recorded = CLOTHES[name]['Results'][0]['Metrics']['Top 1 Accuracy, trained here']
    assert run['accuracy'] == pytest.approx(recorded, abs=0.01)


@pytest.mark.parametrize('name', SHIPPED)
def test_file_alone_holds_the_config_of_the_zoo(name):
    cfg = bkdsnn.init_model(None, published_weights()[name]).cfg
    zoo = Config.fromfile(DEMO / f'{Path(name).name}.py')
    assert json.loads(json.dumps(student_config(zoo.model))) == cfg.model.to_dict()
    assert cfg.image_shape == list(zoo.image_shape) and 'teacher' not in cfg.model
