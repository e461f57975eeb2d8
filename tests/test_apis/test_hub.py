"""Networks on the hub: pushed to a stand-in on the loopback, listed, and loaded by name and revision."""
import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from bkdsnn import SpikingInferencer, get_model, init_model, list_models
from bkdsnn.checkpoints import hub as names
from bkdsnn.checkpoints.files import load_file, save_file
from bkdsnn.checkpoints.published import sha256
from helpers import REPOSITORY
from hub_server import Hub

library = pytest.importorskip('huggingface_hub')
PLAIN, MIXED = (next((REPOSITORY / 'configs/demo/weights').glob(f'{name}-*.pth')) for name in ('plain', 'mixed'))


def set_place(monkeypatch, url, cache):
    constants = import_module('huggingface_hub.constants')
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE',
                        constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url))
    monkeypatch.setattr(constants, 'ENDPOINT', url)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(cache))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = Hub()
    set_place(monkeypatch, server.url, tmp_path / 'cache')
    yield server
    server.close()


@pytest.fixture
def push(monkeypatch, capsys, hub):
    monkeypatch.syspath_prepend(REPOSITORY / 'tools' / 'model_converters')
    import push_to_hub

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['push_to_hub.py', *map(str, arguments)])
        push_to_hub.main()
        return capsys.readouterr().out.split()[1].rstrip(';')
    return run


def same(model, path):
    expected, found = load_file(str(path))['state_dict'], model.state_dict()
    return all(torch.equal(found[key], value) for key, value in expected.items() if isinstance(value, torch.Tensor))


def test_pushed_network_is_listed_and_comes_back_with_its_classes_and_a_card(hub, push, monkeypatch):
    monkeypatch.setattr('push_to_hub.evaluate', lambda model: 89.414)
    commit = push(PLAIN, 'me/digits', '--notes', REPOSITORY / 'configs/demo/README.md', '--evaluate')
    assert commit == hub.branches['me/digits']['main'] and set(hub.files('me/digits')[1]) == {
        'model.safetensors', 'config.json', 'README.md'}
    assert list_models('hf://me/*') == ['hf://me/digits'] and list_models('hf://*/other') == []
    with pytest.raises(ValueError, match='no neurons that emit integers'):  # what is asked for is passed on
        get_model('hf://me/digits', spike_driven=True)
    model = get_model('hf://me/digits')
    assert same(model, PLAIN) and not model.training
    assert model.dataset_meta['classes'] == tuple('0123456789')
    card = hub.files('me/digits')[1]['README.md'].decode()
    assert card.startswith('---\nlibrary_name: bkdsnn\n') and "get_model('hf://me/digits')" in card
    for words in ('SEWResNet', '| time steps | 2 |', '| parameters | 77,754 |', '# Demo', 'Test accuracy: 89.41 %'):
        assert words in card
    assert str(REPOSITORY) not in hub.files('me/digits')[1]['config.json'].decode()
    # As weights elsewhere, and from the cache: another call asks whether there is a new commit, and gets nothing.
    hub.log.clear()
    assert same(init_model(str(REPOSITORY / 'configs/demo/plain.py'), 'hf://me/digits'), PLAIN)
    assert same(SpikingInferencer('hf://me/digits', device='cpu').model, PLAIN)
    assert not [line for line in hub.log if line.startswith('GET') and 'harness' not in line]


def test_run_is_pushed_with_what_it_was_trained_with(hub, push, tmp_path):
    model = get_model('demo/mixed', pretrained=True)
    weights = {f'student.{key}': value for key, value in model.state_dict().items()}
    torch.save(dict(state_dict=weights, meta=dict(cfg=model.cfg.pretty_text)), tmp_path / 'epoch_1.pth')
    push(tmp_path, 'me/run')
    card = hub.files('me/run')[1]['README.md'].decode()
    assert 'Trained on Digits with ' in card and 'BKDLoss' in card and 'teacher teacher' in card
    assert same(get_model('hf://me/run'), MIXED)


def test_revisions_are_commits_and_branches(hub, push):
    first = push(PLAIN, 'me/net')
    second = push(MIXED, 'me/net', '--message', 'Distilled')
    push(PLAIN, 'me/net', '--revision', 'plain')
    for revision, path in ((f'@{first}', PLAIN), (f'@{second}', MIXED), ('', MIXED), ('@plain', PLAIN)):
        assert same(get_model(f'hf://me/net{revision}'), path)
    with pytest.raises(FileNotFoundError, match="no branch, tag or commit 'v9'"):
        get_model('hf://me/net@v9')


@pytest.mark.parametrize('how', ['changed at the hub', 'changed in the cache'])
def test_other_weights_than_were_pushed_are_an_error(how, hub, push, tmp_path):
    push(PLAIN, 'me/net')
    if how == 'changed at the hub':
        save_file(load_file(str(MIXED)), str(tmp_path / 'other.safetensors'))
        hub.commit('me/net', 'main', {'model.safetensors': (tmp_path / 'other.safetensors').read_bytes()})
    else:
        get_model('hf://me/net')
        file = next((tmp_path / 'cache').rglob('model.safetensors')).resolve()
        file.write_bytes(file.read_bytes()[:-1] + b'x')
    with pytest.raises(ValueError, match='is not the file that was pushed: its SHA-256 begins with'):
        get_model('hf://me/net')


def test_without_network_what_is_in_the_cache_is_used(hub, push, monkeypatch):
    push(PLAIN, 'me/net')
    get_model('hf://me/net')
    hub.close()  # nobody listens at its address any more
    assert same(get_model('hf://me/net'), PLAIN)
    monkeypatch.setattr(library.constants, 'HF_HUB_OFFLINE', True)
    assert same(get_model('hf://me/net'), PLAIN)
    with pytest.raises(OSError, match=r'hf://me/other: config.json is not in the cache.*HF_HUB_OFFLINE'):
        get_model('hf://me/other')
    with pytest.raises(OSError, match='cannot be asked'):
        list_models('hf://me/*')
    with pytest.raises(OSError, match='me/net was not pushed'):
        push(PLAIN, 'me/net')


@pytest.mark.parametrize('files, kind, words', [
    (None, FileNotFoundError, 'there is no repository me/net'),
    ({}, FileNotFoundError, 'has no config.json'),
    ({'config.json': b'{"model_type": "vit"}'}, ValueError, 'names no sha256'),
    ({'config.json': b'not json'}, ValueError, 'names no sha256'),
    ({'config.json': b'{"sha256": "0"}'}, FileNotFoundError, 'has no model.safetensors')])
def test_repositories_of_others_are_an_error_that_says_what_is_missing(files, kind, words, hub):
    if files is not None:
        hub.commit('me/net', 'main', files)
    with pytest.raises(kind, match=words):
        get_model('hf://me/net')


@pytest.mark.parametrize('component', ['os.system', 'mmpretrain.TIMMBackbone', 'mmengine.Config.fromfile'])
def test_only_registered_components_of_a_downloaded_config_are_built(component, hub, tmp_path):
    checkpoint = load_file(str(PLAIN))
    config = json.loads(checkpoint['meta']['config_json'])
    config['model']['backbone'] = dict(type=component, command='false')
    checkpoint['meta']['config_json'] = json.dumps(config)
    path = tmp_path / 'model.safetensors'
    save_file(checkpoint, str(path))
    hub.commit('me/net', 'main', {'model.safetensors': path.read_bytes(),
                                  'config.json': json.dumps(dict(sha256=sha256(path))).encode()})
    with pytest.raises(ValueError, match=f"the config inside .* is not built: model.backbone.type='{component}'"):
        get_model('hf://me/net')


@pytest.mark.parametrize('name', ['hf://net', 'hf://me/net@', 'hf://me/net/model.pth', 'hf://../net', 'hf://me/a b'])
def test_names_of_another_form_are_an_error(name):
    with pytest.raises(ValueError, match='must be hf://owner/name'):
        get_model(name)


def test_name_on_the_hub_takes_no_other_weights():
    with pytest.raises(ValueError, match='brings its weights'):
        get_model('hf://me/net', pretrained=str(PLAIN))


def test_missing_package_is_an_error_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ModuleNotFoundError, match='pip install huggingface_hub'):
        names.download('hf://me/net')
    assert not Path('hf:').exists()
