"""Weights of runs become those that get_model finds by name."""
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

import bkdsnn
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.apis.model import published_weights
from bkdsnn.checkpoints.files import load_file, resolve
from bkdsnn.checkpoints.published import hash_in, sha256
from bkdsnn.config.networks import model_config, student_config
from helpers import DEMO, REPOSITORY


@pytest.fixture
def zoo(small_teacher, tmp_path, monkeypatch):
    """A model zoo with one model, the small teacher, and the tool that publishes to it."""
    monkeypatch.syspath_prepend(REPOSITORY / 'tools' / 'model_converters')
    import publish_to_zoo as tool
    root = tmp_path / 'configs'
    (root / 'demo').mkdir(parents=True)
    shutil.copy(small_teacher / 'small.py', root / 'demo' / 'small.py')
    meta = yaml.safe_load((DEMO / 'metafile.yml').read_text())
    entry = dict(meta['Models'][0], Name='small', Config='configs/demo/small.py')
    del entry['Weights']
    (root / 'demo' / 'metafile.yml').write_text(yaml.safe_dump(dict(meta, Models=[entry])))
    for module in (tool, sys.modules['bkdsnn.apis.model']):
        monkeypatch.setattr(module, 'config_root', lambda: root)
    return tool, root / 'demo'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_published_run_is_found_by_name_with_its_accuracy(zoo, small_teacher, suffix):
    tool, folder = zoo
    assert published_weights() == {} and bkdsnn.list_models(pretrained=True) == []
    (folder / 'weights').mkdir()
    (folder / 'weights' / 'small-00000000.pth').write_bytes(b'what was published before')
    (folder / 'weights' / 'smaller-00000000.pth').write_bytes(b'another model')
    line = tool.publish_to_zoo('demo/small', str(small_teacher), suffix)
    (path, ) = folder.glob('weights/small-*')
    assert path.suffix == suffix and path.name in line and path.name != 'small-00000000.pth'
    assert len(list((folder / 'weights').iterdir())) == 2
    assert bkdsnn.list_models(pretrained=True) == ['demo/small']
    model = bkdsnn.get_model('demo/small', pretrained=True)
    (entry, ) = yaml.safe_load((folder / 'metafile.yml').read_text())['Models']
    assert entry['Weights'] == f'configs/demo/weights/{path.name}'
    accuracy = entry['Results'][0]['Metrics']['Top 1 Accuracy, trained here']
    assert accuracy == round(evaluate(model), 2) and f'{accuracy:.2f} %' in line


def test_a_plain_student_of_a_comparison_is_the_same_network(zoo, small_teacher, tmp_path):
    """Its preprocessing stands in the model, that of the zoo's config beside it."""
    tool, _ = zoo
    checkpoint = load_file(resolve(str(small_teacher)))
    cfg = sys.modules['publish_model'].config_in(checkpoint, str(small_teacher))
    cfg.model = student_config(model_config(cfg))
    assert 'data_preprocessor' in cfg.model
    checkpoint['message_hub'] = {}
    checkpoint['meta']['cfg'] = cfg.pretty_text
    torch.save(checkpoint, tmp_path / 'run.pth')
    assert 'configs/demo/weights/small-' in tool.publish_to_zoo('demo/small', str(tmp_path / 'run.pth'))


def test_run_of_another_network_and_unknown_names_are_errors(zoo, small_teacher):
    tool, folder = zoo
    config = folder / 'small.py'
    config.write_text(config.read_text().replace('base_channels=4', 'base_channels=8'))
    assert 'base_channels=8' in config.read_text()
    with pytest.raises(ValueError, match='trained another network'):
        tool.publish_to_zoo('demo/small', str(small_teacher))
    with pytest.raises(ValueError, match='no entry for demo/other'):
        tool.publish_to_zoo('demo/other', str(small_teacher))
    assert not list(folder.glob('weights/*'))


def test_url_in_the_metafile_is_taken_as_it_is(zoo):
    _, folder = zoo
    meta = yaml.safe_load((folder / 'metafile.yml').read_text())
    meta['Models'][0]['Weights'] = 'https://example.org/small-0a1b2c3d.pth'
    (folder / 'metafile.yml').write_text(yaml.safe_dump(meta))
    assert published_weights() == {'demo/small': 'https://example.org/small-0a1b2c3d.pth'}


@pytest.mark.parametrize('name, stem, suffix', [('net', 'net', '.pth'), ('net.pth', 'net', '.pth'),
                                                ('net.v2', 'net.v2', '.pth'),
                                                ('net.safetensors', 'net', '.safetensors')])
def test_published_file_needs_no_config_and_is_named_after_its_content(zoo, small_teacher, tmp_path, name, stem,
                                                                       suffix):
    import publish_model as tool
    path = Path(tool.publish(str(small_teacher), str(tmp_path / name)))
    assert path.name == f'{stem}-{hash_in(path.name)}{suffix}' and sha256(path).startswith(hash_in(path.name))
    model = bkdsnn.init_model(None, str(path))
    run = bkdsnn.init_model(str(small_teacher / 'small.py'), str(small_teacher))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), run.state_dict().values()))
    assert model.dataset_meta == run.dataset_meta and 'work_dir' not in model.cfg


def test_custom_imports_are_not_published(zoo, small_teacher, tmp_path):
    """Whoever opens the file would have to trust them."""
    import publish_model as tool
    checkpoint = load_file(resolve(str(small_teacher)))
    cfg = tool.config_in(checkpoint, 'run')
    cfg.custom_imports = dict(imports=['os'])
    bkdsnn.init_model(None, tool.write_published(checkpoint, cfg, str(tmp_path / 'net.pth')))
    assert 'custom_imports' in cfg
