"""Checkpoints of other code bases, generated with the golden recipe, through the converter and tools/test.py."""
import argparse
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import golden
from bkdsnn import init_model
from bkdsnn.checkpoints.official.keys import canonical
from bkdsnn.checkpoints.official.models import FAMILIES, find_family
from helpers import REPOSITORY, run_tool

CONVERTER = 'tools/model_converters/convert_official.py'
# Recorded network: what its weights do not tell, as options of the converter.
TINY = ['model.backbone.arch.num_heads=8']
NETS = {
    'sew_resnet18': [],
    'sew_dvs': [],
    'spikingformer_imagenet': [*TINY, 'model.backbone.arch.patch_size=16'],
    'spikingformer_cifar10': [*TINY, 'model.backbone.arch.patch_size=4'],
    'cml_spikformer_cifar': [*TINY, 'model.backbone.arch.patch_size=4'],
}
# Recorded from public code; their values are compared in tests/test_models/test_golden.py.
PUBLIC = ('qkformer_imagenet', 'qkformer_cifar', 'meta_spikeformer', 'spikformer_imagenet', 'spikformer_cifar',
          'spikingformer_plain_imagenet', 'spikingformer_plain_cifar')


def activation_based(key):
    """What spikingjelly's activation_based SEW-ResNets call the authors' weight."""
    key = key.replace('.module.', '.')
    key = re.sub(r'(layer\d\.\d+)\.conv(\d)\.0\.', r'\1.conv\2.', key)
    key = re.sub(r'(layer\d\.\d+)\.conv(\d)\.1\.', r'\1.bn\2.', key)
    return re.sub(r'downsample\.0\.([01])\.', r'downsample.\1.', key)


# Name of a form: how the weights are stored in the file.
FORMS = {
    'plain': lambda w: w,
    'model': lambda w: dict(model=w, optimizer={}, epoch=3, args=argparse.Namespace(T=4, connect_f='ADD')),
    'net': lambda w: dict(net=w),
    'ddp': lambda w: dict(state_dict={f'module.{key}': value for key, value in w.items()}, epoch=1),
    'no_container': lambda w: {key.replace('.module.', '.'): value for key, value in w.items()},
    'ddp_no_container': lambda w: dict(model={f'module.{canonical(key)}': value for key, value in w.items()}),
}


def convert(tmp_path, contents, *options, arch='auto'):
    torch.save(contents, tmp_path / 'official.pth')
    options = ['--cfg-options', *options] if options else []
    return run_tool(CONVERTER, tmp_path / 'official.pth', tmp_path / 'ours.pth', '--arch', arch, *options)


def logits_of(tmp_path, name, suffix='.pth'):
    case = golden.load(name)
    model = init_model(None, str(tmp_path / f'ours{suffix}')).double()
    with torch.no_grad():
        return model(case['in/x']).mean(0), case['out/eval/logits']


@pytest.mark.parametrize('form', FORMS)
def test_every_form_of_a_checkpoint_converts_and_gives_the_recorded_logits(form, tmp_path):
    done = convert(tmp_path, FORMS[form](golden.recipe_weights('sew_resnet18')))
    assert done.returncode == 0, done.stderr
    assert 'SEWResNet: arch=18, T=4, connect=ADD' in done.stdout and 'IFNode' in done.stdout
    torch.testing.assert_close(*logits_of(tmp_path, 'sew_resnet18'), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', [name for name in NETS if name != 'sew_resnet18'])
def test_every_network_converts_and_gives_the_recorded_logits(name, tmp_path):
    done = convert(tmp_path, FORMS['ddp'](golden.recipe_weights(name)), *NETS[name])
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(*logits_of(tmp_path, name), rtol=1e-5, atol=1e-5)
    if 'former' in name:
        assert 'Ignored 8 keys, built by the authors, never used' in done.stdout and 'block.0.norm1' in done.stdout
        assert 'LIFNode: tau=2.0' in done.stdout and 'alpha' in done.stdout
        backbone = init_model(None, str(tmp_path / 'ours.pth')).cfg.model.backbone
        assert backbone.T == 4 and backbone.neuron.to_dict() == golden.LIF


def test_qkformer_says_what_its_published_accuracy_depends_on_and_reproduces_it(tmp_path):
    weights = golden.recipe_weights('qkformer_cifar')
    assert 'batches of 32: --cfg-options model.backbone.batch_leak=True' in convert(tmp_path, weights, *TINY).stdout
    done = convert(tmp_path, weights, *TINY, 'model.backbone.batch_leak=True')
    assert done.returncode == 0 and 'batches of 32' not in done.stdout, done.stderr
    assert init_model(None, str(tmp_path / 'ours.pth')).cfg.model.backbone.batch_leak
    torch.testing.assert_close(*logits_of(tmp_path, 'qkformer_cifar'), rtol=1e-5, atol=1e-5)  # of one sample


def test_safetensors_convert_to_safetensors(tmp_path):
    save_file(golden.recipe_weights('sew_resnet18'), tmp_path / 'official.safetensors')
    done = run_tool(CONVERTER, tmp_path / 'official.safetensors', tmp_path / 'ours.safetensors')
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(*logits_of(tmp_path, 'sew_resnet18', '.safetensors'), rtol=1e-5, atol=1e-5)


def test_keys_of_spikingjellys_own_networks_convert(tmp_path):
    weights = {activation_based(key): value for key, value in golden.recipe_weights('sew_resnet18').items()}
    assert 'layer1.0.bn1.running_mean' in weights and 'layer2.0.downsample.1.bias' in weights
    done = convert(tmp_path, weights)
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(*logits_of(tmp_path, 'sew_resnet18'), rtol=1e-5, atol=1e-5)


def test_scalar_time_constants_of_newer_spikingjelly_convert(tmp_path):
    weights = {key: value.reshape(()) if key.endswith('.w') else value
               for key, value in golden.recipe_weights('sew_dvs').items()}
    assert convert(tmp_path, weights).returncode == 0
    torch.testing.assert_close(*logits_of(tmp_path, 'sew_dvs'), rtol=1e-5, atol=1e-5)


def test_converted_checkpoint_goes_through_the_test_tool(tmp_path):
    """The predictions of tools/test.py are the softmax of the converted network's logits."""
    name = 'spikingformer_imagenet'
    convert(tmp_path, FORMS['ddp'](golden.recipe_weights(name)), *NETS[name])
    case = golden.load(name)
    images = case['in/x'].float()
    np.save(tmp_path / 'images.npy', images.numpy())
    (tmp_path / 'recorded_images.py').write_text(
        'import numpy as np\nfrom mmpretrain.datasets import BaseDataset\nfrom bkdsnn.registry import DATASETS\n\n\n'
        '@DATASETS.register_module()\nclass RecordedImages(BaseDataset):\n'
        '    METAINFO = dict(classes=tuple("0123456789"))\n\n'
        '    def load_data_list(self):\n'
        f'        images = np.load({str(tmp_path / "images.npy")!r}).transpose(0, 2, 3, 1)\n'
        '        return [dict(img=image, gt_label=i) for i, image in enumerate(images)]\n')
    (tmp_path / 'config.py').write_text(
        f'_base_ = [{str(REPOSITORY / "configs/_base_/default_runtime.py")!r}]\n'
        "custom_imports = dict(imports=['recorded_images'])\n"
        f'model = {init_model(None, str(tmp_path / "ours.pth")).cfg.model.to_dict()!r}\n'
        'test_dataloader = dict(batch_size=2, num_workers=0, collate_fn=dict(type="default_collate"),\n'
        '    sampler=dict(type="DefaultSampler", shuffle=False),\n'
        '    dataset=dict(type="RecordedImages", ann_file="", pipeline=[dict(type="mmpretrain.PackInputs")]))\n'
        'test_cfg = dict()\ntest_evaluator = dict(type="mmpretrain.Accuracy")\n')
    done = run_tool('tools/test.py', tmp_path / 'config.py', tmp_path / 'ours.pth', '--out', tmp_path / 'out.pkl',
                    '--work-dir', tmp_path / 'work', PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    predictions = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    scores = torch.stack([torch.as_tensor(sample['pred_score']) for sample in predictions])
    with torch.no_grad():
        logits = init_model(None, str(tmp_path / 'ours.pth'))(images).mean(0)
    torch.testing.assert_close(scores, logits.softmax(-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('change, message', [
    (lambda w: w.update(surprise=torch.zeros(1)), 'surprise'),
    (lambda w: w.pop('head.bias'), 'missing keys: head.fc.bias'),
    (lambda w: w.update({'head.bias': torch.zeros(7)}), 'other shapes: head.fc.bias'),
])
def test_any_other_mismatch_fails_and_leaves_no_file(change, message, tmp_path):
    weights = golden.recipe_weights('spikingformer_imagenet')
    change(weights)
    done = convert(tmp_path, weights, *NETS['spikingformer_imagenet'])
    assert done.returncode == 1 and message in done.stderr and 'Traceback' not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['official.pth']


def test_what_the_weights_do_not_tell_is_asked_for(tmp_path):
    done = convert(tmp_path, golden.recipe_weights('spikingformer_imagenet'))
    assert done.returncode == 1 and 'num_heads and patch_size' in done.stderr
    assert '--cfg-options model.backbone.arch.num_heads=... model.backbone.arch.patch_size=...' in done.stderr


def test_arguments_stored_with_the_weights_are_used(tmp_path):
    contents = dict(state_dict=golden.recipe_weights('spikingformer_cifar10'),
                    args=argparse.Namespace(num_heads=8, patch_size=4, time_step=6))
    done = convert(tmp_path, contents)
    assert done.returncode == 0, done.stderr
    assert "'num_heads': 8, 'patch_size': 4}, T=6" in done.stdout


def test_other_families_and_foreign_files_are_named(tmp_path):
    done = convert(tmp_path, golden.recipe_weights('spikingformer_imagenet'), arch='sew_resnet')
    assert done.returncode == 1 and 'not of a sew_resnet' in done.stderr
    done = convert(tmp_path, golden.recipe_weights('mixed_former.dist'))
    assert done.returncode == 1 and 'of no network that is known here: max_resnet' in done.stderr


@pytest.mark.parametrize('name', [*NETS, *PUBLIC])
def test_families_do_not_overlap(name):
    keys = [canonical(key) for key in golden.recipe_weights(name)]
    assert [family for family in FAMILIES if any(re.fullmatch(FAMILIES[family].marker, key) for key in keys)] == \
        [find_family(keys)]
