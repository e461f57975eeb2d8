"""Make a checkpoint fit to publish: ``python tools/model_converters/publish_model.py IN OUT``.

The result holds the student's weights, its config as JSON and the data set's meta information; its name ends in the
first eight digits of its SHA-256. Where OUT ends in .safetensors, it is such a file. Nothing of IN is executed.
"""
import argparse
import copy
import json
import os
import os.path as osp

from mmengine.config import Config

import bkdsnn
from bkdsnn.apis import student_config
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.checkpoints.files import load_file, resolve, save_file, weights_of
from bkdsnn.checkpoints.published import sha256
from bkdsnn.config.text import parse_config

SUFFIXES = ('.pth', '.safetensors')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of tools/train.py, or its work directory')
    parser.add_argument('out_file', help='where to write, .pth or .safetensors; -<hash> is put before it')
    return parser.parse_args()


def config_in(checkpoint: dict, path: str) -> Config:
    """The config that a checkpoint was trained with.

    Raises:
        ValueError: If there is none, or one that mmengine has not written.
    """
    text = checkpoint.get('meta', {}).get('cfg')
    if not text:
        raise ValueError(f'{path!r} holds no config (meta.cfg); publish a checkpoint of tools/train.py.')
    try:
        return parse_config(text)
    except ValueError as error:
        raise ValueError(f'the config in {path!r} (meta.cfg) is not run, and cannot be read: {error}. Publish a '
                         'checkpoint of tools/train.py.') from error


def publish(in_file: str, out_file: str) -> str:
    """Write the student-only checkpoint and return its path."""
    checkpoint = load_file(resolve(in_file))
    return write_published(checkpoint, config_in(checkpoint, in_file), out_file)


def student_alone(checkpoint: dict, cfg: Config) -> dict:
    """What is published of a checkpoint: the student's weights, its config, and what the data set says of itself."""
    meta, cfg = checkpoint.get('meta', {}), copy.deepcopy(cfg)
    cfg.model = student_config(cfg.model)
    cfg.pop('custom_imports', None)  # whoever opens the file has to import by themselves
    # With EMA, the averaged weights are in state_dict already.
    return dict(
        state_dict=weights_of(checkpoint),
        meta=dict(config_json=json.dumps(cfg.to_dict()), dataset_meta=meta.get('dataset_meta', {}),
                  bkdsnn_version=bkdsnn.__version__))


def write_published(checkpoint: dict, cfg: Config, out_file: str) -> str:
    """Write the student's weights with a config and return the path."""
    published = student_alone(checkpoint, cfg)
    suffix = next((suffix for suffix in SUFFIXES if out_file.endswith(suffix)), SUFFIXES[0])
    stem = out_file.removesuffix(suffix)
    partial = f'{stem}.partial{suffix}'
    save_file(published, partial)
    final = f'{stem}-{sha256(partial)[:8]}{suffix}'
    os.replace(partial, final)
    return final


def main() -> None:
    args = parse_args()
    folder = osp.dirname(osp.abspath(args.out_file))
    if not osp.isdir(folder):
        raise FileNotFoundError(f'the folder {folder} does not exist; make it first.')
    print(f'Published {publish(args.in_file, args.out_file)}')


if __name__ == '__main__':
    with fail_clearly():
        main()
