"""The config inside a published file builds registered names alone; weights travel as .pth and .safetensors."""
import copy
import json
import pickle
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file as save
from sklearn.datasets import load_digits

import attacks
from bkdsnn import SpikingInferencer, init_model
from bkdsnn.apis.evaluate import build_loader
from bkdsnn.checkpoints.files import load_file, save_file
from bkdsnn.checkpoints.published_config import read_config
from bkdsnn.models import FrozenTeacher, SpikingClassifier
from bkdsnn.registry import MODELS, TRANSFORMS
from helpers import DEMO, tiny_student

CONFIG = Config.fromfile(DEMO / 'plain.py').to_dict()
WEIGHTS = str(next((DEMO / 'weights').glob('plain-*.pth')))
STATE = load_file(WEIGHTS)['state_dict']


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that is there if code was run; modules that make it, and folders of them, can be imported."""
    mark = tmp_path / 'mark'
    code = f'open({str(mark)!r}, "w")\n'
    for module in ('evil', 'mc', 'evil_scope.registry', 'evil_folder.inside'):
        path = tmp_path / f'{module.replace(".", "/")}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(code + 'class Net:\n    pass\n')
        for name in (module, module.split('.')[0]):
            monkeypatch.delitem(sys.modules, name, raising=False)
    torch.save(attacks.Call(exec, code), tmp_path / 'evil.pth')
    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps(attacks.Call(exec, code)))
    monkeypatch.syspath_prepend(tmp_path)
    return mark


def edited(key, value):
    """The demo's config with another value at a key such as ``model.head.init_cfg``."""
    config = copy.deepcopy(CONFIG)
    *parents, last = key.split('.')
    node = config
    for parent in parents:
        node = node[int(parent)] if isinstance(node, list) else node[parent]
    if isinstance(node, list):
        node.insert(int(last), value)
    else:
        node[last] = value
    return config


PIPELINE = 'test_dataloader.dataset.pipeline.0'
LOOKED_UP = dict(type='ConvModule', in_channels=1, out_channels=1, kernel_size=1)
ATTACKS = {
    'function as type': ('model.head', dict(type='os.system', command='touch mark')),
    'class as type': ('model.backbone', dict(type='evil.Net')),
    'module as type': ('model.backbone', dict(type='evil')),
    'module in a folder as type': ('model.backbone', dict(type='evil_folder.inside.Net')),
    'type that is no name': ('model.backbone', dict(type=['evil.Net'])),
    'name of another registry': ('model.backbone', dict(type='CheckpointHook')),
    'type in a list': ('model.head.others', [dict(type='evil.Net')]),
    'scope of a type': ('model.backbone.type', 'evil_scope.SEWResNet'),
    'scope': ('model.backbone._scope_', 'evil_scope'),
    'default scope': ('default_scope', 'evil_scope'),
    'base': ('_base_', '{folder}/evil.py'),
    'base inside': ('model._base_', '{folder}/evil.py'),
    'custom imports': ('custom_imports', dict(imports=['evil'])),
    'teacher by import path': ('model.backbone', dict(type='FrozenTeacher', model='evil:Net', checkpoint='evil.pth')),
    'teacher by config': ('model.backbone', dict(type='FrozenTeacher', model='evil.py', checkpoint='evil.pth')),
    'distiller': ('model.head', dict(type='Distiller', student={}, teacher=dict(type='evil.Net'))),
    'network of timm': ('model.backbone', dict(type='mmpretrain.TIMMBackbone', model_name='x', norm_layer='evil.Net')),
    'network of a hub': ('model', dict(type='mmpretrain.TimmClassifier', model_name='hf-hub:a/b'), 'model_name'),
    'network of a folder': ('model', dict(type='mmpretrain.TimmClassifier', model_name='local-dir:evil'), 'model_name'),
    'network of transformers': ('model', dict(type='mmpretrain.HuggingFaceClassifier', model_name='evil_folder')),
    'answers of a pickle': ('model.head', dict(type='mmpretrain.VQAGenerationHead', decoder={}, inference_method='rank',
                                               answer_list_path='{folder}/evil.pkl')),
    'argument that is imported': ('model.neck', dict(LOOKED_UP, padding_mode='evil'), 'padding_mode'),
    'argument that is imported from': ('model.neck', dict(LOOKED_UP, padding_mode='evil.Net'), 'padding_mode'),
    'argument in a folder': ('model.neck', dict(LOOKED_UP, padding_mode='evil_folder.inside'), 'padding_mode'),
    'argument of the library': ('model.neck', dict(LOOKED_UP, padding_mode='os.system'), 'padding_mode'),
    'transform that is imported': (PIPELINE, dict(type='evil.Net')),
    'transform that imports': (PIPELINE, dict(type='RandomResize', scale=8, resize_type='evil.Net'), 'resize_type'),
    'transform that evaluates': (PIPELINE, dict(type='mmpretrain.torchvision/ConvertImageDtype',
                                                dtype='float32 and __import__("evil")')),
    'file backend that imports': (PIPELINE, dict(type='mmpretrain.LoadImageFromFile', backend_args=dict(
        backend='memcached', server_list_cfg='', client_cfg='', sys_path='{folder}'))),
    'older name of it': (PIPELINE, dict(type='mmpretrain.LoadImageFromFile', file_client_args=dict(backend='petrel'))),
    'data set that is imported': ('test_dataloader.dataset.type', 'evil.Net'),
    'data set of pickles': ('val_dataloader.dataset', dict(type='mmpretrain.CIFAR10', data_root='{folder}')),
    'data set inside': ('test_dataloader.dataset', dict(type='ConcatDataset', datasets=[dict(type='evil')])),
    'sampler': ('test_dataloader.sampler.type', 'evil.Net'),
    'collation': ('test_dataloader.collate_fn.type', 'evil.Net'),
    'worker': ('test_dataloader.worker_init_fn', dict(type='evil.Net')),
    'loader': ('test_dataloader.type', 'evil.Net'),
    'surrogate': ('model.backbone.neuron.surrogate.type', 'evil.Net'),
    'augmentation': ('model.train_cfg', dict(augments=dict(type='evil.Net'))),
    'preprocessor': ('data_preprocessor', dict(type='evil.Net')),
}


# Those that need more than this environment has, or mmengine refuses.
UNREAL = {'argument of the library', 'answers of a pickle', 'base inside', 'data set of pickles', 'distiller',
          'file backend that imports', 'loader', 'name of another registry', 'network of a folder', 'network of a hub',
          'network of transformers', 'older name of it', 'type in a list', 'type that is no name'}


def write(name, folder, suffix):
    """The published file of an attack."""
    config = json.dumps(edited(*ATTACKS[name][:2])).replace('{folder}', str(folder))
    return attacks.write_published(json.loads(config), STATE, folder / f'net{suffix}')


@pytest.mark.parametrize('name', sorted(ATTACKS.keys() - UNREAL))
def test_the_attacks_are_real(name, tmp_path, mark, monkeypatch):
    """Where the config is taken as one's own."""
    monkeypatch.chdir(tmp_path)
    path = write(name, tmp_path, '.pth')
    with suppress(Exception):
        config = Config.fromstring(load_file(path)['meta']['config_json'], '.json')
        model = init_model(config, path)
        build_loader(config)
        SpikingInferencer(model)(np.zeros((8, 8), np.uint8))
    assert mark.exists()


@pytest.mark.parametrize('name', ATTACKS)
def test_no_config_runs_code(name, tmp_path, mark, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key, _, *words = ATTACKS[name]
    words = words or [part for part in key.split('.') if not part.isdigit()][-1:]
    for suffix, opens in (('.pth', init_model), ('.safetensors', init_model), ('.pth', SpikingInferencer)):
        path = write(name, tmp_path, suffix)
        with pytest.raises(ValueError, match=rf'the config inside .*net{suffix}.* is not built: .*{words[0]}') as error:
            opens(*([None] if opens is init_model else []), path)
        assert 'give a config of your own as the first argument' in str(error.value)
        assert not mark.exists()


def test_weights_are_read_whatever_the_config_beside_them_says(tmp_path, mark):
    path = write('class as type', tmp_path, '.pth')
    assert type(init_model(str(DEMO / 'plain.py'), path)).__name__ == 'SpikingClassifier' and not mark.exists()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_and_caches_of_elsewhere_are_left_out(suffix, tmp_path, mark):
    config = edited('model.init_cfg', dict(type='Pretrained', checkpoint=str(tmp_path / 'evil.pth')))
    config['model']['backbone']['init_cfg'] = [dict(type='evil.Net')]
    config['test_dataloader']['dataset']['cache_dir'] = str(tmp_path / 'cache')
    config['optim_wrapper'] = dict(type='evil.Net')
    path = attacks.write_published(config, STATE, tmp_path / f'net{suffix}')
    cfg = init_model(None, path).cfg
    assert 'optim_wrapper' not in cfg and 'evil' not in cfg.pretty_text and 'cache' not in cfg.pretty_text
    assert not mark.exists()


def test_of_a_distillation_config_the_student_alone_is_built(tmp_path, mark):
    config = dict(CONFIG, model=dict(type='evil.Net', student=CONFIG['model'], losses=dict(type='evil.Net'),
                                     teacher=dict(type='FrozenTeacher', model='evil:Net')))
    path = attacks.write_published(config, STATE, tmp_path / 'net.pth')
    assert type(init_model(None, path)).__name__ == 'SpikingClassifier' and not mark.exists()


@pytest.mark.parametrize('registry, name', [
    (MODELS, 'evil'), (TRANSFORMS, 'evil.Net'), (DATASETS, 'evil_folder.inside')])
def test_registries_do_import_what_they_do_not_know(registry, name, mark):
    """So that the attacks by names are real."""
    registry.get(name)
    assert mark.exists()


@pytest.mark.parametrize('text', ['{', '[]', '{"a": 1}', '{"model": "evil"}', '[' * 100_000, 'null', '{"model": {}}'])
def test_what_is_no_config_is_refused(text):
    with pytest.raises((ValueError, KeyError)):
        cfg = read_config(text, 'net.pth')
        MODELS.build(cfg.model)


def test_parts_of_mmpretrain_torch_and_timm_are_built_by_name(tmp_path):
    conv = dict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain', pretrained='http://127.0.0.1:9/a.pth',
                backbone=dict(type='ResNet', depth=18, norm_cfg=dict(type='BN'), init_cfg=dict(type='Pretrained')),
                neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=3, in_channels=512,
                                                                  loss=dict(type='CrossEntropyLoss')))
    vit = dict(type='mmpretrain.TimmClassifier', _scope_='mmpretrain', model_name='resnet18.a1_in1k', num_classes=3,
               pretrained=True)
    pipeline = [dict(type='RandomResize', scale=(9, 9), resize_type='Resize'),
                dict(type='mmpretrain.LoadImageFromFile', imdecode_backend='cv2', backend_args=None),
                dict(type='mmpretrain.PackInputs')]
    dataset = dict(type='mmpretrain.CustomDataset', data_root='data', pipeline=pipeline,
                   metainfo=dict(classes=['turtle', 'test', 'os']))
    for model in (conv, vit):
        config = dict(model=model, test_dataloader=dict(dataset=dataset, collate_fn=dict(type='default_collate'),
                                                        sampler=dict(type='DefaultSampler', shuffle=False)))
        cfg = read_config(json.dumps(config), 'net.pth')
        assert 'pretrained' not in cfg.model
        assert isinstance(MODELS.build(cfg.model), torch.nn.Module)


def test_a_component_of_ones_own_is_built_once_it_is_imported(tmp_path):
    config = dict(model=dict(tiny_student(), type='OwnClassifier'))
    with pytest.raises(ValueError, match=r"model.type='OwnClassifier' is not .* must be imported before"):
        read_config(json.dumps(config), 'net.pth')
    own = type('OwnClassifier', (SpikingClassifier, ), dict(__module__=__name__))
    MODELS.register_module(module=own)
    try:
        assert type(MODELS.build(read_config(json.dumps(config), 'net.pth').model)) is own
    finally:
        del MODELS.module_dict['OwnClassifier']


def test_safetensors_hold_what_pth_holds(tmp_path):
    whole = load_file(WEIGHTS)
    for suffix in ('.pth', '.safetensors'):
        save_file(whole, tmp_path / f'net{suffix}')
    a, b = (load_file(str(tmp_path / f'net{suffix}')) for suffix in ('.pth', '.safetensors'))
    assert a['meta'] == b['meta'] == whole['meta'] and a['state_dict'].keys() == b['state_dict'].keys()
    assert all(torch.equal(a['state_dict'][key], value) and a['state_dict'][key].dtype == value.dtype
               for key, value in b['state_dict'].items())
    models = [init_model(None, str(tmp_path / f'net{suffix}')) for suffix in ('.pth', '.safetensors')]
    assert models[0].dataset_meta == models[1].dataset_meta == dict(classes=tuple('0123456789'))
    assert models[0].cfg.to_dict() == models[1].cfg.to_dict()
    load_checkpoint(models[0], str(tmp_path / 'net.safetensors'), strict=True)  # as load_from does
    FrozenTeacher(CONFIG['model'], str(tmp_path / 'net.safetensors'))
    image = load_digits().images[1796]
    for source in models[1], str(tmp_path / 'net.safetensors'):
        assert SpikingInferencer(source)(image.astype('uint8') * 15)[0]['pred_class'] == '8'


def test_the_same_content_has_the_same_hash(tmp_path):
    content = load_file(WEIGHTS)
    for name in 'ab':
        save_file(content, tmp_path / f'{name}.safetensors')
    assert (tmp_path / 'a.safetensors').read_bytes() == (tmp_path / 'b.safetensors').read_bytes()


def test_tensors_of_one_memory_and_any_layout_are_written(tmp_path):
    shared = torch.randn(2, 3, 4, 5)
    weights = dict(a=shared, b=shared[:, 1:], c=shared.contiguous(memory_format=torch.channels_last),
                   d=shared.bfloat16())
    meta = dict(dataset_meta=dict(palette=np.ones(2), sizes=(1, 2), name='x'))
    save_file(dict(state_dict=weights, meta=meta), tmp_path / 'x.safetensors')
    found = load_file(str(tmp_path / 'x.safetensors'))
    assert all(torch.equal(found['state_dict'][key], value) for key, value in weights.items())
    assert found['meta']['dataset_meta'] == dict(palette=(1.0, 1.0), sizes=(1, 2), name='x')


def test_safetensors_of_other_programs_are_weights_alone(tmp_path):
    model = init_model(str(DEMO / 'plain.py'), WEIGHTS)
    save(model.state_dict(), tmp_path / 'net.safetensors', dict(format='pt', config_json='{"model": {}}'))
    assert load_file(str(tmp_path / 'net.safetensors'))['meta'] == {}
    again = init_model(str(DEMO / 'plain.py'), str(tmp_path / 'net.safetensors'))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    with pytest.raises(ValueError, match='was not published with its config'):
        init_model(None, str(tmp_path / 'net.safetensors'))


def test_a_training_state_is_no_content_of_safetensors(tmp_path):
    with pytest.raises(ValueError, match='optimizer cannot be in a .safetensors file'):
        save_file(dict(state_dict={}, optimizer={}), tmp_path / 'x.safetensors')
    assert not list(tmp_path.iterdir())
