"""Accuracy after each time step: ``python tools/analysis_tools/accuracy_over_time.py CONFIG CHECKPOINT``.

One pass over the validation data and one over the test data. A confidence at which to stop early is chosen on the
validation data and applied to the test data.
"""
import argparse
import math
from typing import Dict, Tuple

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from bkdsnn import init_model
from bkdsnn.apis.cli import fail_clearly, file_to_write
from bkdsnn.apis.evaluate import build_loader, predict_steps
from bkdsnn.config.checks import check_config
from bkdsnn.config.files import read_config_file
from bkdsnn.evaluation import accuracy_over_time, calibrate_early_exit, early_exit, running_scores
from bkdsnn.utils.atomic import write_json

SPLITS = dict(val='validation', test='test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('checkpoint', help='checkpoint file, URL or work directory')
    parser.add_argument('--max-drop', type=float, default=0.5,
                        help='accuracy that stopping early may lose on the validation data, in percent points (0.5)')
    parser.add_argument('--device', default='cpu', help='where to compute, such as cuda:0')
    parser.add_argument('--json', type=file_to_write, help='also write the figures to this file')
    return parser.parse_args()


def measure(scores: Dict[str, Tuple[Tensor, Tensor]], max_drop: float) -> dict:
    """All figures from running scores (T, N, K) and labels (N, ) of both splits; no threshold where nothing stops."""
    found = {split: accuracy_over_time(*both) for split, both in scores.items()}
    calibrated = calibrate_early_exit(*scores['val'], max_drop)
    threshold = calibrated.threshold if math.isfinite(calibrated.threshold) else None
    exits = dict(val=calibrated, test=early_exit(*scores['test'], calibrated.threshold))
    return {split: dict(samples=len(labels), accuracy=found[split].accuracy.tolist(),
                        agreement=found[split].agreement.tolist(),
                        early_exit=dict(threshold=threshold, accuracy=exits[split].accuracy,
                                        mean_steps=exits[split].mean_steps))
            for split, (_, labels) in scores.items()}


def print_tables(result: dict, max_drop: float) -> None:
    console = Console(width=None if Console().is_terminal else 120)
    table = Table('steps', *(f'{name}: {what} %' for name in SPLITS.values() for what in ('accuracy', 'agreement')),
                  title='After each time step; agreement is with the answer after the last')
    columns = [values for split in SPLITS
               for values in (result[split]['accuracy'], [row[-1] for row in result[split]['agreement']])]
    for step, values in enumerate(zip(*columns), 1):
        table.add_row(str(step), *(f'{value:.2f}' for value in values))
    console.print(table)
    threshold = result['val']['early_exit']['threshold']
    lose = f'would lose more than {max_drop:g} points there'
    if threshold is None:
        rule = f'Never stopping early: every threshold {lose}'
    elif result['val']['early_exit']['mean_steps'] == 1:
        rule = f'Stopping after the first step, which loses at most {max_drop:g} points of the validation data'
    else:
        rule = f'Stopping at a class probability of {threshold:.4g}, chosen on the validation data: a lower one {lose}'
    table = Table('data', 'samples', 'accuracy %', 'with all steps', 'mean steps', title=rule)
    for split, name in SPLITS.items():
        early, accuracy = result[split]['early_exit'], result[split]['accuracy']
        table.add_row(name, str(result[split]['samples']), f'{early["accuracy"]:.2f}', f'{accuracy[-1]:.2f}',
                      f'{early["mean_steps"]:.2f} of {len(accuracy)}')
    console.print(table)


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    cfg = read_config_file(args.config)
    check_config(cfg)
    model = init_model(cfg, args.checkpoint, args.device)
    scores = {}
    for split, name in SPLITS.items():
        loader = build_loader(model.cfg, split, model.dataset_meta)
        logits, labels = predict_steps(model, track(loader, name, console=Console(stderr=True)))
        scores[split] = running_scores(logits), labels
    result = measure(scores, args.max_drop)
    print_tables(result, args.max_drop)
    if model.cfg.val_dataloader.dataset == model.cfg.test_dataloader.dataset:
        print('The config validates on its test data, so the threshold was chosen on the data that it is tested on.')
    if args.json:
        write_json(args.json, dict(config=args.config, checkpoint=args.checkpoint, max_drop=args.max_drop, **result))


if __name__ == '__main__':
    with fail_clearly():
        main()
