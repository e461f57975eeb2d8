"""Whole steps of distillation configs on a GPU, as :mod:`bench_gpu` describes."""
import argparse
from pathlib import Path
from typing import List

import torch
from gpu_card import Card, free
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from timing import interleaved, median_and_minimum
from torch import nn

from bkdsnn.evaluation.untrained import build_untrained, training_shape
from bkdsnn.utils.out_of_memory import find_memory_error

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'bkd'


def recipes() -> List[str]:
    """Distillation configs for ImageNet, the paper's own first."""
    names = sorted(path.stem for path in CONFIGS.glob('*_in1k.py'))
    first = ('sew-resnet18', 'spikingformer-8-384', 'sew-resnet34', 'sew-resnet50', 'spikingformer', 'spikformer')
    return sorted(names, key=lambda name: next((i for i, start in enumerate(first) if name.startswith(start)), 99))


def measure_recipe(report: dict, name: str, card: Card, args: argparse.Namespace) -> None:
    """Images per second of a config's whole step; half the batch as often as memory does not suffice."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    shape = training_shape(cfg)
    number = cfg.train_dataloader.batch_size
    if args.smoke:
        number = 2
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = True  # as PyTorch's default is, and a run's
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = build_untrained(cfg).train()
        model.init_weights()
        model = model.to(card.device)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    report.update(config_batch_size=number, dtype=str(getattr(wrapper, 'cast_dtype', 'fp32')))
    while number:
        try:
            report.update(recipe_times(model, wrapper, shape, number, card, args))
            return
        except Exception as error:
            if find_memory_error(error) is None or number == 1:
                raise
        report.setdefault('does_not_fit', []).append(number)
        number //= 2
        wrapper.zero_grad()
        free()


def recipe_times(model: nn.Module, wrapper: OptimWrapper, shape: tuple, number: int, card: Card,
                 args: argparse.Namespace) -> dict:
    """What a step with a number of images costs."""
    inputs = torch.randint(0, 256, (number, *shape), dtype=torch.uint8, device=card.device)

    def step() -> dict:
        samples = [DataSample().set_gt_label(i % 1000) for i in range(number)]
        return model.train_step(dict(inputs=inputs, data_samples=samples), wrapper)

    for _ in range(3):  # compiles, makes the optimizer's state, and finds the scale of the loss
        losses = step()
    peak = card.peak_of(step)
    times = median_and_minimum(interleaved(dict(step=step), min(6, args.repeats), card.clock)['step'])
    return dict(times, batch_size=number, images_per_second=1e3 * number / times['median_ms'], peak_mib=peak / 2**20,
                losses={key: float(value.detach()) for key, value in losses.items()})
