"""Look inside a network: ``python tools/visualization/vis_spikes.py CONFIG CHECKPOINT``.

Draws, of one sample of the test data or of a file, spikes, membranes and firing rates of layers, and class activation
at each time step.
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from bkdsnn import SpikingInferencer, init_model
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.config.checks import check_config
from bkdsnn.config.data import loader_config, without
from bkdsnn.config.files import read_config_file
from bkdsnn.registry import DATASETS
from bkdsnn.visualization.pictures import describe, draw_recording
from bkdsnn.visualization.recording import record
from bkdsnn.visualization.samples import Sample, read_sample, take_sample
from bkdsnn.visualization.spikes import DPI


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path; of a distillation config the student is drawn')
    parser.add_argument('checkpoint', help='checkpoint file or work directory')
    parser.add_argument('--layers', nargs='+', help='paths of neurons; default: the last ones of each stage')
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--sample-idx', type=int, default=0, help='index into the test data')
    source.add_argument('--input', help='file of an image or a recording instead')
    parser.add_argument('--neurons', nargs='+', type=int, help='indices into each layer; default: the most active ones')
    parser.add_argument('--class-idx', type=int, help='class of the class activation; default: the predicted one')
    parser.add_argument('--time-steps', type=int, help='how long an image is shown; default: as in the config')
    parser.add_argument('--out-dir', help='default: work_dirs/spikes/<config>')
    return parser.parse_args()


def load_sample(args: argparse.Namespace, cfg: Config, network: nn.Module) -> Tuple[Sample, Optional[Sequence[str]]]:
    """The sample, and the names of the classes."""
    if args.input is not None:
        inferencer = SpikingInferencer(network)
        return read_sample(inferencer, args.input), inferencer.classes
    # Frames are made anew: a cache would be filled for all samples.
    dataset = DATASETS.build(without(loader_config(cfg, 'test').dataset, 'cache_dir'))
    return take_sample(dataset, args.sample_idx), dataset.metainfo.get('classes')


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    check_config(cfg)
    init_default_scope(cfg.get('default_scope', 'bkdsnn'))  # where a pipeline's transforms are looked up
    network = init_model(cfg, args.checkpoint, 'cuda' if torch.cuda.is_available() else 'cpu')
    sample, classes = load_sample(args, cfg, network)
    recording = record(network, sample.data, args.layers, args.class_idx, args.time_steps)
    figures = draw_recording(recording, sample, args.neurons, classes)
    folder = Path(args.out_dir or f'work_dirs/spikes/{Path(args.config).stem}')
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(args.input).stem if args.input is not None else f'{args.sample_idx:05d}'
    print(describe(recording, sample, classes))
    for name, figure in figures.items():
        path = folder / f'{stem}_{name}.png'
        figure.savefig(path, dpi=DPI)
        print(path)


if __name__ == '__main__':
    with fail_clearly():
        main()
