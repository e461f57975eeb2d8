"""Train a model: ``python tools/train.py CONFIG``."""
import argparse

from bkdsnn.apis.cli import (
    add_common_arguments,
    build_checked_runner,
    check_all,
    disconnected_afterwards,
    fail_clearly,
    load_config,
)
from bkdsnn.checkpoints.files import check_resumable, latest_checkpoint, resolve
from bkdsnn.config.checks import check_built
from bkdsnn.engine.amp import amp_dtype
from bkdsnn.runs.full_disk import explained
from bkdsnn.runs.lock import locked


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='train config file path, or the name of a pair; see tools/list_experiments.py')
    parser.add_argument(
        '--method', help='train a pair, or the pair of an experiment, with the losses of this method instead')
    parser.add_argument(
        '--resume', nargs='?', const='auto',
        help='resume from the checkpoint given, or without a value from the latest one in the work directory')
    parser.add_argument(
        '--amp', action='store_true',
        help='train in mixed precision on any device: bfloat16, or float16 on a GPU without it')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by the actual batch size over auto_scale_lr.base_batch_size')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind.rpartition('.')[2] not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(f'--amp takes the place of an OptimWrapper, but optim_wrapper.type={kind!r}; drop --amp.')
        cfg.optim_wrapper.type = 'bkdsnn.AmpOptimWrapper'
        # Without one, a CPU that is slow at it would train in fp32.
        cfg.optim_wrapper.setdefault('dtype', str(amp_dtype()).removeprefix('torch.'))
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise ValueError(f'--auto-scale-lr: {args.config} does not say which batch size its rate is for; write '
                             'auto_scale_lr=dict(base_batch_size=...) there.')
        cfg.auto_scale_lr.enable = True
    resumed = args.resume or (cfg.get('resume') and (cfg.get('load_from') or 'auto'))
    check_all(cfg)
    with explained(cfg.work_dir), locked(cfg.work_dir, cfg.launcher):
        if resumed:
            found = latest_checkpoint(cfg.work_dir) if resumed == 'auto' else resolve(resumed)
            if found is not None:
                check_resumable(found)
                cfg.resume, cfg.load_from = True, found
            elif not cfg.get('load_from'):
                # There is nothing yet; mmengine would look again, and take what an earlier run has left.
                cfg.resume = False
        runner = build_checked_runner(cfg)
        if resumed and not cfg.get('resume'):
            runner.logger.info(f'There is no checkpoint in {cfg.work_dir} to resume; training begins anew.')
        check_built(runner, ['train', 'val'])
        runner.train()


if __name__ == '__main__':
    with fail_clearly(), disconnected_afterwards():
        main()
