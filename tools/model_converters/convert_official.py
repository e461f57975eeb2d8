"""Convert a checkpoint of another code base: ``python tools/model_converters/convert_official.py IN OUT``.

Reads checkpoints of the authors of BKDSNN, Spikingformer (also with CML), Spikformer, SEW-ResNet and its network for
event cameras, QKFormer, Spike-driven Transformer V2, E-SpikeFormer, Max-Former and Max-ResNet, and of spikingjelly's
SEW-ResNets. OUT holds the weights under our names and the network's
config, so that ``bkdsnn.init_model(None, OUT)`` builds it and ``tools/test.py CONFIG OUT`` tests it.
"""
import argparse
import json
import os.path as osp
from collections import defaultdict

from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope

import bkdsnn
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.checkpoints.files import fit_weights, load_file, save_file, some_of, weights_of
from bkdsnn.checkpoints.official.models import FAMILIES, convert_official
from bkdsnn.registry import MODELS

ARCH = 'model.backbone.arch.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of the other code base')
    parser.add_argument('out_file', help='where to write (.pth or .safetensors)')
    parser.add_argument('--arch', choices=['auto', *FAMILIES], default='auto',
                        help='kind of network; auto recognises it by its keys')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='settings of the resulting config that the weights do not tell, as model.backbone.T=6')
    return parser.parse_args()


def convert(in_file: str, out_file: str, family: str, options: dict) -> None:
    """Write the converted checkpoint and say what was recognised and what was left out."""
    checkpoint = load_file(in_file)
    args = checkpoint.get('args') or {}
    args = dict(args if isinstance(args, dict) else vars(args))
    arch = {key[len(ARCH):]: value for key, value in options.items() if key.startswith(ARCH)}
    converted = convert_official(weights_of(checkpoint), args, None if family == 'auto' else family, arch)
    cfg = Config(dict(model=converted.model, default_scope='bkdsnn'))
    cfg.merge_from_dict({key: value for key, value in options.items() if not key.startswith(ARCH)})
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = MODELS.build(cfg.model)
    fit_weights(model, converted.weights, repr(in_file))
    config = json.dumps(cfg.to_dict())
    save_file(dict(state_dict=converted.weights,
                   meta=dict(config_json=config, dataset_meta={}, bkdsnn_version=bkdsnn.__version__)), out_file)
    report(cfg.model, converted.ignored, sum(p.numel() for p in model.parameters()))
    if not cfg.model.backbone.get('batch_leak') and (note := FAMILIES[converted.family].note):
        print(note)
    print(f'Wrote {out_file}')


def report(model: Config, ignored: dict, parameters: int) -> None:
    """Print the network and the keys left out."""
    backbone = dict(model.backbone)
    neuron = dict(backbone.pop('neuron'))
    print(f'{backbone.pop("type")}: ' + ', '.join(f'{k}={v}' for k, v in backbone.items()) +
          f'; {model.head.num_classes} classes, {parameters:,} parameters')
    print(f'{neuron.pop("type")}: ' + ', '.join(f'{k}={v}' for k, v in neuron.items()))
    print('Settings that weights cannot tell (T, neuron, heads, where the pools sit) are those of the published '
          'networks; --cfg-options changes them.')
    reasons = defaultdict(list)
    for key, reason in ignored.items():
        reasons[reason].append(key)
    for reason, keys in reasons.items():
        print(f'Ignored {len(keys)} keys, {reason}: {some_of(keys)}')


def main() -> None:
    args = parse_args()
    folder = osp.dirname(osp.abspath(args.out_file))
    if not osp.isdir(folder):
        raise FileNotFoundError(f'the folder {folder} does not exist; make it first.')
    convert(args.in_file, args.out_file, args.arch, args.cfg_options)


if __name__ == '__main__':
    with fail_clearly():
        main()
