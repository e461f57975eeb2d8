"""How fast a training step is against the BKDSNN authors' code: ``python benchmarks/bench_authors.py --repo PATH``.

PATH is a checkout of https://github.com/Intelligent-Computing-Research-Group/BKDSNN, of which nothing is here. Ours
takes the weights of its student and losses. Losses and gradients of four images are compared in fp64, with one mask and
one view of the teacher; then the sides are timed in turn in one process: cross entropy alone, with BKD, WSLD and a
teacher that runs, and ours with a teacher that is replayed from files. A step is forward and backward in fp32, without
the optimizer, which is the same. Weights are untrained, the teacher's too.

The published code does not run as it is. Mended from outside, so that none of it counts against the authors:

- spikingjelly's ``clock_driven`` and ``cext`` are gone: their names are given to 2.0.0's modules, with the old
  surrogates (Sigmoid, alpha 4; ATan, alpha 2) and without the backend ``cupy``, which needs a GPU;
- ``loss.py`` is missing for CIFAR-10 and for SEW-ResNet: CIFAR-100's and CIFAR10-DVS's are taken, which have both
  losses of the paper; the script for SEW-ResNet would build another method's;
- asked for features, Spikingformer runs each attention twice and gives queries, keys and values, on which the loss
  fails, and SEW-ResNet averages each block: what the paper distils, the last map, is recorded by a hook;
- the teachers are copies of timm's ViT and torchvision's ResNet that give features: timm's own are run, with hooks;
- SEW-ResNet's teacher is run with gradients: here without;
- the loss puts a constant on a GPU: here it stays.

What is slow by choice stays, such as the stem that runs T times on the same image.

The last line is a JSON object. Each ratio is of the authors' time over ours, ``speedup_plain``, ``speedup_distilled``
(a teacher runs on both sides) and ``speedup_cached`` (ours is replayed), of medians and, ``_min``, of minima; and of
our bytes over theirs: ``memory_ratio``, the peak of the distilled step with all weights, ``memory_ratio_plain`` and
``memory_ratio_cached`` likewise, ``saved_bytes_ratio`` what the forward pass leaves alive for backward.
"""
import argparse
import copy
import json
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Dict
from unittest import mock

import torch
from authors import RECIPES, URL, Authors, teacher_of
from bench_memory import allocated_peak, bytes_of
from bench_step import CACHED, distill_step, distillers, read_from_cache, saved_bytes, step_of
from mmengine.logging import MMLogger
from mmpretrain.structures import DataSample
from networks import NETWORKS, forward_of, gradient_error, ours
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum, processor_seconds, wall_seconds
from torch import Tensor, nn

from bkdsnn.checkpoints.official.keys import convert
from bkdsnn.models import Distiller


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repo', type=Path, required=True, help=f"checkout of the authors' repository, {URL}")
    parser.add_argument('--recipe', choices=RECIPES, default='spikingformer')
    parser.add_argument('--repeats', type=int, default=6)
    parser.add_argument('--batch-size', type=int, help='instead of 16, or 8 of sew-resnet')
    parser.add_argument('--size', type=int, help='of the images, in pixels, instead of 32, or 128 of sew-resnet')
    parser.add_argument('--time-steps', type=int, default=4)
    parser.add_argument('--processor-time', action='store_true', help='of all threads instead of what passes, where '
                        'other programs run')
    return parser.parse_args()


def check(distiller: Distiller, authors: Authors, x: Tensor, labels: Tensor) -> Dict[str, float]:
    """How far losses, and gradients of a layer's weight, are apart in fp64, relatively; an error if they differ."""
    mine, theirs = (copy.deepcopy(side).double() for side in (distiller, authors))
    x, samples = x.double(), [DataSample().set_gt_label(int(label)) for label in labels]
    taught = mine.teach(x)  # for both: the bicubic kernels are not the same, PIL's and OpenCV's
    mine.teach = lambda images: taught
    losses = []
    for side in (partial(mine, x, samples, mode='loss'), partial(theirs.losses, x, labels, lambda images: taught)):
        torch.manual_seed(2)  # of the mask
        losses.append(side())
        sum(losses[-1].values()).backward()
    got, want = losses
    errors = {name: abs(1 - got[name].item() / want[name].item()) for name in want}
    errors['gradients'] = gradient_error(mine.student, theirs.student)
    print("In fp64 ours differ from the authors' by", ', '.join(f'{name} {e:.1e}' for name, e in errors.items()))
    if set(got) != set(want) or max(errors.values()) > 1e-6:
        raise RuntimeError(f'The sides do not train the same: losses {got} and {want}.')
    return errors


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    recipe, T = RECIPES[args.recipe], args.time_steps
    name, network = recipe.network, NETWORKS[recipe.network]
    torch.manual_seed(1)
    authors = Authors(recipe, args.repo, T)
    student = ours(name, T, compress_spikes=True, channels_last=True, sparse_convs=True)
    student.load_state_dict(convert(authors.student.state_dict(), recipe.rules))
    size = args.size or network.size
    x = torch.randn(args.batch_size or network.batch_size, 3, size, size)
    labels = torch.randint(network.classes, (len(x),))
    with tempfile.TemporaryDirectory() as folder:
        sides = distillers(name, student, x, folder, recipe.alpha)
        for distiller in sides.values():
            distiller.losses['loss_bkd'].restore.load_state_dict(authors.bkd.generation.state_dict())
        running, cached = sides['distilled_with_teacher'], sides[CACHED]
        errors = check(running, authors, x[:4], labels[:4])
        teacher = running.teacher.network.float()
        teach = teacher_of(teacher, authors.taps, (running.teacher.input_size or (size,))[0])
        read_from_cache(cached, x)

        def distil() -> None:
            authors.zero_grad(set_to_none=True)
            sum(authors.losses(x, labels, teach).values()).backward()

        forwards = dict(authors=partial(authors, x), ours=forward_of(student, x, T))
        steps = dict(authors=step_of(authors, forwards['authors'], labels), authors_distilled=distil,
                     ours=step_of(student, forwards['ours'], labels),
                     ours_distilled=distill_step(running, x, labels), ours_cached=distill_step(cached, x, labels))
        clock = processor_seconds if args.processor_time else wall_seconds
        times = {side: median_and_minimum(seconds)
                 for side, seconds in interleaved(steps, args.repeats, clock).items()}
        models = dict(authors=[authors.student], authors_distilled=[authors, teacher], ours=[student],
                      ours_distilled=[running, teacher], ours_cached=[cached])
        saved, peaks = {side: saved_bytes(forward) for side, forward in forwards.items()}, {}
        for side, step in steps.items():
            weights = [*nn.ModuleList(models[side]).parameters()]
            nn.ModuleList(models[side]).zero_grad()
            peaks[side] = bytes_of(weights) + allocated_peak(step)
    report(args, x, times, peaks, saved, errors)


def report(args: argparse.Namespace, x: Tensor, times: dict, peaks: dict, saved: dict, errors: dict) -> None:
    """Print the table and the last line."""
    rates = {side: 1e3 * len(x) / row['median_ms'] for side, row in times.items()}
    table = Table('side', 'ms (minimum)', 'images/s', 'MiB, peak', title=f'{args.recipe}, T={args.time_steps}, '
                  f'{tuple(x.shape)}')
    for side, row in times.items():
        table.add_row(side, f'{row["median_ms"]:.0f} ({row["minimum_ms"]:.0f})', f'{rates[side]:.1f}',
                      f'{peaks[side] / 2**20:.0f}')
    Console(width=100).print(table)
    pairs = dict(plain=('authors', 'ours'), distilled=('authors_distilled', 'ours_distilled'),
                 cached=('authors_distilled', 'ours_cached'))
    result = {f'speedup_{kind}{end}': times[theirs][key] / times[mine][key] for kind, (theirs, mine) in pairs.items()
              for end, key in (('', 'median_ms'), ('_min', 'minimum_ms'))}
    result |= {'memory_ratio' + (f'_{kind}' if kind != 'distilled' else ''): peaks[mine] / peaks[theirs]
               for kind, (theirs, mine) in pairs.items()}
    result['saved_bytes_ratio'] = saved['ours'] / saved['authors']
    print(json.dumps(dict(
        **result, recipe=args.recipe, batch_size=len(x), processor_time=args.processor_time, images_per_second=rates,
        times=times, peak_bytes=peaks, saved_bytes=saved, errors=errors,
        **environment('spikingjelly', 'numpy', 'timm'))))


if __name__ == '__main__':
    # Their loss puts a constant on a GPU, and leaves an axis to be guessed.
    warnings.filterwarnings('ignore', message='Implicit dimension choice')
    with mock.patch.object(torch.Tensor, 'cuda', lambda self: self):
        main()
