"""What distilling changes in a student's answers: ``python benchmarks/draw_mistakes.py FOLDER --out NAME``.

``FOLDER`` is that of a comparison whose runs were kept (``tools/compare_methods.py --keep``), with ``plain`` among its
methods. The seeds that ``plain`` and ``--method`` both have answer the test split. Written are, in ``docs/_static``:

- ``learning_NAME.svg``: validation accuracy over epochs, and test accuracy after each time step, mean and spread over
  seeds;
- ``confusion_NAME.svg``: which classes are taken for which by ``plain``, and how many more or fewer by the method;
- ``pictures_NAME.png``: the samples that the most seeds more of the method than of ``plain`` get right;

and ``benchmarks/results/mistakes_NAME.json``, the figures in them with machine, versions and date.
"""
import argparse
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
from matplotlib.axes import Axes
from mmengine.logging import MMLogger
from pictures import picture
from rich.console import Console
from torch import Tensor

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.comparison.origin import machine, now, versions
from bkdsnn.report.answers import Answers, confused_pairs
from bkdsnn.report.bench import Bench
from bkdsnn.report.charts import draw_curves, draw_over_time
from bkdsnn.report.groups import BASELINE, Comparison
from bkdsnn.report.measure import Tested, ask
from bkdsnn.report.over_seeds import Curve
from bkdsnn.report.reading import read_comparison
from bkdsnn.report.samples import picture as picture_of
from bkdsnn.report.samples import reads_bgr
from bkdsnn.utils.atomic import write_json
from bkdsnn.visualization.figures import looks_of

BENCHMARKS = Path(__file__).resolve().parent
STATIC, RESULTS = BENCHMARKS.parent / 'docs' / '_static', BENCHMARKS / 'results'
# Pictures, and mistakes that the terminal lists.
SHOWN, PAIRS = 16, 8


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='of a comparison whose runs were kept')
    parser.add_argument('--method', default='mixed', help='to set against plain (mixed)')
    parser.add_argument('--out', required=True, metavar='NAME', help='ending of the files')
    return parser.parse_args()


def mistakes(seeds: Dict[int, Answers]) -> Tensor:
    """Test samples (K, K) by true class (rows) and answer, mean over seeds."""
    return torch.stack([answers.confusion for answers in seeds.values()]).double().mean(0)


def share_right(seeds: Dict[int, Answers]) -> Tensor:
    """Share of the seeds that get each sample right, (N, )."""
    return torch.stack([answers.right for answers in seeds.values()]).double().mean(0)


def told_apart(plain: Dict[int, Answers], method: Dict[int, Answers]) -> Dict[str, List[int]]:
    """Samples that all seeds of one get right and all seeds of the other wrong, by who gets them right."""
    ours, theirs = share_right(method), share_right(plain)
    return dict(method=((ours == 1) & (theirs == 0)).nonzero().flatten().tolist(),
                plain=((ours == 0) & (theirs == 1)).nonzero().flatten().tolist())


def most_changed(plain: Dict[int, Answers], method: Dict[int, Answers], count: int) -> List[int]:
    """The samples that the most seeds more of a method get right, those of equally many in their order."""
    more = share_right(method) - share_right(plain)
    return [sample for sample in more.argsort(descending=True, stable=True)[:count].tolist() if more[sample] > 0]


def draw_learning(path: Path, comparison: Comparison, tested: Tested) -> None:
    """Validation accuracy over epochs, and test accuracy over time steps beside the teacher's."""
    groups = comparison.groups
    looks = looks_of([group.name for group in groups])
    steps = {}
    for group in groups:
        values = np.array([answers.over_time.accuracy.tolist() for answers in tested.of(group).values()])
        steps[group.name] = Curve(np.arange(1, values.shape[1] + 1), values)
    with picture(path, (9, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        draw_curves(left, comparison.val_curves(groups), looks, 'validation accuracy (%)', markers=True)
        left.legend()
        teacher = tested.teacher_of(groups[-1])
        draw_over_time(right, steps, looks, teacher and teacher.accuracy)


def draw_confusion(path: Path, plain: Tensor, method: Tensor, names: List[str], name: str) -> None:
    """Two matrices in samples of a hundred: of plain, and what the method changes."""
    count = plain.sum(1, keepdim=True)
    shares, change = 100 * plain / count, 100 * (method - plain) / count
    with picture(path, (12, 5.6)) as figure:
        left, right = figure.subplots(1, 2)
        left.set_title('plain: answers to a hundred samples')
        _matrix(left, shares, shares.sqrt(), names, '.1f', cmap='Blues', vmin=0, vmax=10)
        right.set_title(f'{name}: how many more or fewer')
        _matrix(right, change, change, names, '+.1f', cmap='RdBu', vmin=-3, vmax=3)


def _matrix(ax: Axes, values: Tensor, strength: Tensor, names: List[str], form: str, **colours) -> None:
    """Values (K, K) in fields whose colours are by ``strength`` (K, K); those that would read as zero are left out."""
    ax.imshow(strength, **colours)
    for true, said in np.ndindex(*values.shape):
        if abs(values[true, said]) >= 0.05:
            dark = abs(strength[true, said]) > 0.7 * colours['vmax']
            ax.text(said, true, format(values[true, said].item(), form), ha='center', va='center', fontsize=8,
                    color='white' if dark else 'black')
    ax.set_xticks(range(len(names)), names, rotation=45, ha='right')
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel='answer', ylabel='class')


def draw_samples(path: Path, images: List[np.ndarray], titles: List[str]) -> None:
    """Test samples with their titles, eight a row."""
    rows = max(1, -(-len(images) // 8))
    with picture(path, (12, 2.4 * rows)) as figure:
        for ax in figure.subplots(rows, 8, squeeze=False).flat:
            ax.axis('off')
        for ax, image, title in zip(figure.axes, images, titles):
            ax.imshow(image, interpolation='nearest')
            ax.set_title(title, fontsize=9)


def usual(seeds: Dict[int, Answers], sample: int) -> int:
    """The class that most seeds give a sample."""
    return torch.stack([answers.classes[sample] for answers in seeds.values()]).mode().values.item()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    comparison = read_comparison([str(args.folder)])
    groups = {group.name: group for group in comparison.groups}
    absent = [name for name in (BASELINE, args.method) if name not in groups or not groups[name].runs]
    if absent:
        raise ValueError(f'{args.folder} has no kept runs of {absent[0]}; make them with tools/compare_methods.py '
                         '--keep.')
    comparison.groups = [groups[BASELINE], groups[args.method]]
    seeds = [[run.seed for run in group.runs] for group in comparison.groups]
    shared = set.intersection(*map(set, seeds))
    if not shared:
        raise ValueError(f'the kept runs of plain have the seeds {seeds[0]}, and those of {args.method} {seeds[1]}: '
                         'none is of both.')
    for group in comparison.groups:
        group.runs = [run for run in group.runs if run.seed in shared]
    bench = Bench(comparison, show_progress=True).load()
    tested = ask(bench, 'test')
    if bench.notes:
        raise ValueError(bench.notes[0])
    plain, method = (tested.of(group) for group in comparison.groups)
    data = tested.data[BASELINE]
    names = [data.name_of(label) for label in range(next(iter(plain.values())).classes_known)]
    confusion, apart = [mistakes(plain), mistakes(method)], told_apart(plain, method)

    draw_learning(STATIC / f'learning_{args.out}.svg', comparison, tested)
    draw_confusion(STATIC / f'confusion_{args.out}.svg', *confusion, names, args.method)
    shown, bgr = most_changed(plain, method, SHOWN), reads_bgr(comparison.groups[0].runs[0])
    right = [[int(sum(answers.right[i] for answers in seeds.values())) for seeds in (plain, method)] for i in shown]
    truth = next(iter(plain.values())).labels
    titles = [f'{names[truth[i]]}\nnot {names[usual(plain, i)]}\n{before} to {after} right'
              for i, (before, after) in zip(shown, right)]
    images = [picture_of(data.loader.dataset[i]['inputs'], bgr) for i in shown]
    draw_samples(STATIC / f'pictures_{args.out}.png', images, titles)

    teacher = tested.teacher_of(comparison.groups[1])
    figures = dict(
        folder=args.folder.name, method=args.method, classes=names, samples=len(truth),
        teacher=teacher and teacher.accuracy,
        accuracy={name: {str(seed): answers.accuracy for seed, answers in found.items()}
                  for name, found in ((BASELINE, plain), (args.method, method))},
        confusion={name: matrix.tolist() for name, matrix in zip((BASELINE, args.method), confusion)},
        pictures=[{'sample': data.indices[i], BASELINE: before, args.method: after}
                  for i, (before, after) in zip(shown, right)],
        right_by_all_seeds_of_one_and_none_of_the_other={
            name: [data.indices[i] for i in found]
            for name, found in ((args.method, apart['method']), (BASELINE, apart['plain']))},
        machine=machine(), versions=versions(), date=now())
    write_json(RESULTS / f'mistakes_{args.out}.json', figures)
    console = Console()
    for true, said, _ in confused_pairs((1000 * sum(confusion)).long(), PAIRS):
        before, after = (matrix[true, said] for matrix in confusion)
        console.print(f'{names[true]} taken for {names[said]}: plain {before:.1f}, {args.method} {after:.1f}',
                      highlight=False)
    console.print(f'{len(apart["method"])} samples are right by all seeds of {args.method} and by none of plain, '
                  f'{len(apart["plain"])} the other way round.', highlight=False)


if __name__ == '__main__':
    with fail_clearly():
        main()
