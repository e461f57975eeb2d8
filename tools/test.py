"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``. Of a distillation run, the student is tested."""
import argparse
import os.path as osp

import mmengine
import torch
from mmengine.device import get_device
from mmengine.evaluator import DumpResults
from mmengine.model import is_model_wrapper

from bkdsnn.apis import student_config
from bkdsnn.apis.cli import add_common_arguments, build_runner, disconnected_afterwards, fail_clearly, load_config
from bkdsnn.checkpoints.classes import check_classes
from bkdsnn.checkpoints.files import load_weights
from bkdsnn.config.checks import check_built
from bkdsnn.engine.amp import amp_dtype
from bkdsnn.models.layers import fuse_conv_bn
from bkdsnn.models.unfolding import set_spike_driven


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test (and evaluate) a model')
    parser.add_argument('config', help='test config file path')
    parser.add_argument('checkpoint', help='checkpoint file, or the work directory of a run (its latest is taken)')
    parser.add_argument('--out', help='file for predictions or metrics (.pkl; metrics also .json)')
    parser.add_argument('--out-item', choices=['metrics', 'pred'], default='pred', help='what --out gets')
    parser.add_argument('--amp', action='store_true', help='test with automatic mixed precision')
    parser.add_argument('--fuse-conv-bn', action='store_true', help='join batch norms with the convolutions before')
    parser.add_argument('--spike-driven', action='store_true',
                        help='have neurons that emit integers emit as many binary spikes')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.work_dir is None:
        # Not the run's own folder: the config dumped here is the student's alone.
        cfg.work_dir = osp.join(cfg.work_dir, 'test')
    if cfg.get('test_dataloader') is None:
        raise ValueError(f'{args.config} has no test_dataloader, and so nothing to test on.')
    cfg.model = student_config(cfg.model)
    # A checkpoint of the config's own would be loaded by mmengine, and not strictly.
    cfg.load_from, cfg.resume = None, False
    if args.amp:
        cfg.test_cfg.fp16 = True
        # What training takes; the loop names no type.
        torch.set_autocast_dtype(get_device(), amp_dtype())
    runner = build_runner(cfg, ['test'])
    check_built(runner, ['test'])
    is_wrapped = is_model_wrapper(runner.model)
    model = runner.model.module if is_wrapped else runner.model
    known = load_weights(model, args.checkpoint).get('meta', {}).get('dataset_meta')
    check_classes(known, getattr(runner.test_dataloader.dataset, 'metainfo', None), f'checkpoint {args.checkpoint!r}',
                  'test_dataloader.dataset')
    if args.spike_driven:
        set_spike_driven(model, True)
        model.spike_driven = True
    if args.fuse_conv_bn:
        model = fuse_conv_bn(model.eval())
        if is_wrapped:
            runner.model.module = model
        else:
            runner.model = model
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    with fail_clearly(), disconnected_afterwards():
        main()
