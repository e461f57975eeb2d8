"""How fast images of a folder become batches, against mmpretrain: ``python benchmarks/bench_data.py``.

JPEG files of ImageNet's usual size are made first. All sides run the same pipelines: mmpretrain's ``CustomDataset``,
our ``ImageFolder``, and ours with a cache. Their images are compared before they are timed in turn in one process, an
epoch each. CPU is the share of all cores that main process and workers used. Then a small network is trained, and the
share of its time that it waits for data is taken from mmengine's ``data_time``. Last, what it takes to start workers
and end them, which every epoch does; it grows with the memory that the process holds, since workers are forked.

The last line is a JSON object: ``speedup`` is mmpretrain's median time over ours with the cache, for the pipeline and
number of workers where it is smallest, ``speedup_min`` that of the minima.
"""
import argparse
import copy
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import cv2
import mmpretrain
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch.utils.data import DataLoader

from bkdsnn.registry import DATASETS

REPOSITORY = Path(__file__).parent.parent
# The random crop that a central square is made of in mmpretrain.
CENTRAL_CROP = dict(type='mmpretrain.RandomResizedCrop', crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.0, 1.0))
SIDES = ('mmpretrain', 'ours', 'cached')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=768, help='number of images')
    parser.add_argument('--size', type=int, nargs=2, default=[500, 375], help='width and height of the files')
    parser.add_argument('--batch-size', type=int, default=48)
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 1, 2], help='numbers of workers')
    parser.add_argument('--repeats', type=int, default=3, help='epochs of each kind')
    parser.add_argument('--image-scale', type=int, default=224, help='pixels that the network sees')
    return parser.parse_args()


def write_images(folder: str, number: int, size: Tuple[int, int]) -> None:
    """Four class folders of JPEG files, as the tests make them."""
    sys.path.append(str(REPOSITORY / 'tests'))
    from generated_data import write_class_folders
    write_class_folders(folder, classes=('a', 'b', 'c', 'd'), train_per_class=number // 4, val_per_class=1, size=size)


def pipelines(scale: int) -> Dict[str, List[dict]]:
    """Those of the configs for ImageNet, for images of ``scale`` pixels."""
    transformer, sew = (Config.fromfile(REPOSITORY / f'configs/_base_/datasets/{name}.py')
                        for name in ('imagenet_224', 'imagenet_224_sew'))
    found = dict(train_transformer=transformer.train_pipeline, train_sew=sew.train_pipeline,
                 val=transformer.test_pipeline)
    for steps in found.values():
        for step in steps:
            step.update({key: scale for key in ('scale', 'crop_size') if key in step})
    return found


def datasets(folder: str, pipeline: List[dict]) -> Dict[str, object]:
    """The training part for each side."""
    theirs = [dict(step, **CENTRAL_CROP) if step['type'] == 'bkdsnn.CentralSquare' else step for step in pipeline]
    ours = dict(type='ImageFolder', data_root=folder, split='train', pipeline=pipeline)
    return dict(
        mmpretrain=DATASETS.build(
            dict(type='mmpretrain.CustomDataset', data_root=folder, data_prefix='train', pipeline=theirs)),
        ours=DATASETS.build(ours), cached=DATASETS.build(dict(ours, cache_dir='cache')))


def check_equal(sides: Dict[str, object]) -> float:
    """Compare all images, with every transform seeded by itself, as a crop may draw numbers on one side only.

    Returns:
        Seconds per image to fill the cache.

    Raises:
        RuntimeError: If the sides differ.
    """
    def seeded(step: Callable) -> Callable:
        def call(results: dict) -> dict:
            random.seed(results['sample_idx'])
            np.random.seed(results['sample_idx'])
            return step(results)
        return call

    start = time.perf_counter()
    for idx in range(len(sides['cached'])):
        sides['cached'].fill(idx, rebuild=True)
    seconds = (time.perf_counter() - start) / len(sides['cached'])
    sides = {name: copy.copy(dataset) for name, dataset in sides.items()}
    for dataset in sides.values():
        dataset.pipeline = copy.copy(dataset.pipeline)
        dataset.pipeline.transforms = [seeded(step) for step in dataset.pipeline.transforms]
    for idx in range(len(sides['ours'])):
        samples = [dataset[idx] for dataset in sides.values()]
        if any(not torch.equal(sample['inputs'], samples[0]['inputs']) or
               sample['data_samples'].gt_label != samples[0]['data_samples'].gt_label for sample in samples):
            raise RuntimeError(f'image {idx} differs between {", ".join(sides)}.')
    return seconds


def cpu_seconds() -> float:
    """Of this process and the children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def epoch_of(dataset: object, batch_size: int, workers: int, used: List[float]) -> Callable[[], None]:
    """An epoch, workers started and ended; the share of CPU is appended to ``used``."""
    loader = Runner.build_dataloader(loader_config(dataset, batch_size, workers), seed=0)

    def epoch() -> None:
        start, cpu = time.perf_counter(), cpu_seconds()
        for _ in loader:
            pass
        used.append((cpu_seconds() - cpu) / (time.perf_counter() - start) / os.cpu_count())
    return epoch


def loader_config(dataset: object, batch_size: int, workers: int) -> dict:
    return dict(dataset=dataset, batch_size=batch_size, num_workers=workers,
                sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=dict(type='default_collate'))


def bench_loading(sides: Dict[str, object], args: argparse.Namespace) -> Dict[str, dict]:
    """Images per second and share of CPU, by side and number of workers."""
    kinds = [(side, workers) for workers in args.workers for side in SIDES]
    used: Dict[tuple, list] = {kind: [] for kind in kinds}
    seconds = interleaved({kind: epoch_of(sides[kind[0]], args.batch_size, kind[1], used[kind]) for kind in kinds},
                          args.repeats)
    images = len(sides['ours'])
    return {f'{side}, {workers} workers': dict(
        images_per_second=images / statistics.median(values), images_per_second_max=images / min(values),
        cpu=statistics.median(used[side, workers])) for (side, workers), values in seconds.items()}


def bench_waiting(dataset: object, workers: int, args: argparse.Namespace) -> dict:
    """Share of training a small SEW-ResNet for two epochs in which it waits for data, and seconds of a step."""
    neuron = dict(type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True, backend='eager',
                  surrogate=dict(type='ATan', alpha=2.0))
    model = dict(
        type='SpikingClassifier', data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        backbone=dict(type='SEWResNet', arch=dict(layers=(1, 1), widths=(8, 16)), T=2, neuron=neuron, stem='imagenet'),
        head=dict(type='SpikingLinearHead', num_classes=4, in_channels=16))
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner(
            model, work_dir, train_dataloader=loader_config(dataset, args.batch_size, workers),
            train_cfg=dict(by_epoch=True, max_epochs=2), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(checkpoint=None), randomness=dict(seed=0), log_level='ERROR', default_scope='bkdsnn',
            env_cfg=dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)),
            experiment_name=f'wait{time.time_ns()}')
        runner.train()
    times = {key: runner.message_hub.get_scalar(f'train/{key}').data[0] for key in ('data_time', 'time')}
    return dict(wait_share=float(times['data_time'].sum() / times['time'].sum()),
                step_ms=1e3 * float(np.median(times['time'])))


def bench_start(workers: List[int], repeats: int) -> Dict[str, dict]:
    """Milliseconds to start workers, get next to nothing from each, and end them."""
    seconds = interleaved({number: lambda number=number: list(DataLoader(range(number), num_workers=number))
                           for number in workers if number}, repeats)
    return {f'{number} workers': median_and_minimum(values) for number, values in seconds.items()}


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(0)  # as in training, on both sides
    MMLogger.get_instance('bench', log_level='ERROR')
    loading, waiting, fill = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder, args.images, tuple(args.size))
        for name, pipeline in pipelines(args.image_scale).items():
            sides = datasets(folder, pipeline)
            fill[name] = 1e3 * check_equal(sides)
            loading[name] = bench_loading(sides, args)
            if name == 'train_transformer':
                waiting = {f'{side}, {workers} workers': bench_waiting(sides[side], workers, args)
                           for workers in args.workers for side in SIDES}
    start = bench_start(args.workers, args.repeats)
    console = Console(width=120)
    for name, rows in loading.items():
        table = Table(name, 'images/s (best)', 'CPU', title=f'{args.size[0]}x{args.size[1]} JPEG to {args.image_scale} '
                      f'pixels; {fill[name]:.1f} ms an image to fill the cache')
        for kind, row in rows.items():
            table.add_row(kind, f'{row["images_per_second"]:.0f} ({row["images_per_second_max"]:.0f})',
                          f'{100 * row["cpu"]:.0f} %')
        console.print(table)
    table = Table('training', 'waits for data', 'step, ms', title='a small SEW-ResNet, pipeline train_transformer')
    for kind, row in waiting.items():
        table.add_row(kind, f'{100 * row["wait_share"]:.1f} %', f'{row["step_ms"]:.0f}')
    console.print(table)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for kind, row in start.items():
        console.print(f'{kind} are started and ended in {row["median_ms"]:.0f} ms (minimum {row["minimum_ms"]:.0f}) by '
                      f'a process of up to {resident} MiB')
    speedup, speedup_min = (min(
        rows[f'cached, {workers} workers'][key] / rows[f'mmpretrain, {workers} workers'][key]
        for rows in loading.values() for workers in args.workers)
        for key in ('images_per_second', 'images_per_second_max'))
    machine = environment('pillow', 'numpy')
    machine['versions'].update(mmpretrain=mmpretrain.__version__, opencv=cv2.__version__)
    print(json.dumps(dict(
        speedup=speedup, speedup_min=speedup_min, loading=loading, training=waiting, start_workers=start,
        resident_mib=resident, fill_ms_per_image=fill,
        cores=os.cpu_count(), **machine)))


if __name__ == '__main__':
    main()
