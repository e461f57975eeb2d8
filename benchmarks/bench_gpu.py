"""How fast this is on one GPU, against spikingjelly and an ANN: ``python benchmarks/bench_gpu.py --out FILE``.

It ends after six minutes (``--minutes``), on a card that should run nothing else. Sections run in order of importance;
what a section has found is in the JSON object of the last line, and in FILE, also where it fails or the time is up, and
those that fail or are left out are named there. ``--device cpu --smoke`` runs the same code on tiny inputs, to see that
it runs.

Neurons: each side's kernels by themselves, forward, and forward and backward, on inputs of which rounding cannot change
a spike. The fewest bytes that must be moved are those of the input and the spikes forward, and of the input, the
spikes' gradient and the input's gradient backward: 2 and 5 tensors. ``share_of_copy`` is that over the median time,
as a part of the rate at which the card copies. spikingjelly 2.0.0 chooses its kernels itself: its own CUDA code where
it was built, else Triton's, and PyTorch step by step where the membrane is not in fp32, as under autocast. ``storage``
are its Triton kernels for mixed precision. ``speedup`` is over its fastest.

Steps: forward, cross entropy and backward, T = 4, on images of 224 pixels. First each side's options are tried, then
the fastest of each run in turn. ``ann_ratio`` is our time over that of T steps of the same network with ReLU for
neurons. Peaks are what PyTorch has allocated, with weights and gradients. ``host_ms`` is what the host takes to issue a
step; where it is close to the time, the card waits. Logits and gradients are compared in fp64 before.

Recipes: a whole step of a distillation config, teacher, mixed precision and optimizer included, on images that lie on
the card, at the config's batch size or the largest half of it that fits.
"""
import argparse
import json
import logging
import time
from datetime import date
from pathlib import Path
from typing import Callable, Dict, List

import torch
from gpu_card import Card, measure_card
from gpu_neurons import SURROGATES, TENSORS_MOVED, measure_compiled, measure_neuron, measure_others
from gpu_recipes import measure_recipe, recipes
from gpu_steps import measure_equal, measure_profile, measure_step
from mmengine.logging import MMLogger
from networks import spikingjelly
from sections import Sections
from timing import environment

PRECISIONS = ('bf16', 'tf32', 'fp32')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, help='JSON file to write after each section')
    parser.add_argument('--minutes', type=float, default=6.0,
                        help='after which no section is begun, and the running one is stopped')
    parser.add_argument('--sections', nargs='+', default=[''], help='names, or how they begin; all without')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--smoke', action='store_true', help='tiny inputs, few repeats: only to see that it runs')
    parser.add_argument('--repeats', type=int, default=12, help='of steps; neurons run twice as often')
    parser.add_argument('--batch-size', type=int, help="of steps, instead of that of the network's configs")
    parser.add_argument('--time-steps', type=int, default=4)
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('there is no GPU; --device cpu --smoke shows that the script runs.')
    if args.out is not None and not args.out.resolve().parent.is_dir():
        parser.error(f'--out {args.out}: there is no such folder.')
    args.shape, args.size, args.copied = (args.time_steps, 32, 64, 112, 112), 224, 2**31
    if args.smoke:
        args.shape, args.size, args.copied = (args.time_steps, 2, 8, 8, 8), 32, 2**20
        args.batch_size, args.repeats = 2, 1
    return args


def sections_of(card: Card, args: argparse.Namespace) -> Dict[str, Callable[[dict], None]]:
    """All of them, the important ones first."""
    def one(function: Callable, *given) -> Callable[[dict], None]:
        return lambda report: function(report, *given, card, args)

    first, later = ('sew-resnet18', 'spikingformer-8-384'), ('sew-resnet34', 'sew-resnet50')
    plan = {'card': one(measure_card)}
    plan.update({f'neuron {kind}': one(measure_neuron, kind) for kind in SURROGATES})
    for name in first:
        plan[f'equal {name}'] = one(measure_equal, name)
        plan[f'step {name} bf16'] = one(measure_step, name, 'bf16')
    plan.update({f'step {name} {how}': one(measure_step, name, how) for name in first for how in PRECISIONS[1:]})
    plan.update({f'recipe {name}': one(measure_recipe, name) for name in recipes()[:2]})
    plan.update({f'profile {name}': one(measure_profile, name) for name in first})
    for name in later:
        plan[f'equal {name}'] = one(measure_equal, name)
        plan[f'step {name} bf16'] = one(measure_step, name, 'bf16')
    plan.update({f'recipe {name}': one(measure_recipe, name) for name in recipes()[2:]})
    plan['neuron others'] = one(measure_others)
    plan.update({f'neuron {kind} compiled': one(measure_compiled, kind) for kind in SURROGATES})
    plan.update({f'step {name} {how}': one(measure_step, name, how) for name in later for how in PRECISIONS[1:]})
    if args.smoke:
        plan = {name: run for name, run in plan.items() if not name.startswith(('step', 'recipe', 'equal')) or name in (
            'step sew-resnet18 bf16', 'step sew-resnet18 tf32', 'equal sew-resnet18', f'recipe {recipes()[0]}')}
    return {name: run for name, run in plan.items() if name.startswith(tuple(args.sections))}


class Remarks(logging.Handler):
    """Keeps what neurons say of their kernels, and warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING or message.startswith(('Neurons:', 'Mixed precision:')):
            self.lines.append(message[:400])


def headlines(sections: Dict[str, dict]) -> Dict[str, float]:
    """The smallest ratios, for the targets."""
    neurons = [row[direction] for name, section in sections.items() if name in {f'neuron {kind}' for kind in SURROGATES}
               for row in section.values() if isinstance(row, dict) for direction in TENSORS_MOVED if direction in row]
    found = dict(
        neuron_speedup=[row['speedup'] for row in neurons if 'speedup' in row],
        neuron_share_of_copy=[row['share_of_copy']['ours'] for row in neurons if 'ours' in row['share_of_copy']])
    steps = [section for name, section in sections.items() if name.startswith('step ') and name.endswith(' bf16')]
    found['step_speedup'] = [step['speedup'] for step in steps if 'speedup' in step]
    found['step_ann_ratio'] = [-step['ann_ratio'] for step in steps if 'ann_ratio' in step]
    return {key: abs(min(values)) for key, values in found.items() if values}


def main() -> None:
    start = time.monotonic()
    args = parse_args()
    remarks = Remarks()
    logger = MMLogger.get_instance('bench', log_level='INFO')
    for handler in logger.handlers:
        handler.setLevel(logging.ERROR)
    logger.addHandler(remarks)
    spikingjelly()
    card = Card(args.device)
    run = Sections(dict(environment('spikingjelly', 'numpy', 'timm'), date=f'{date.today():%Y-%m-%d}',
                        smoke=args.smoke, remarks=remarks.lines), args.minutes, args.out)
    for name, function in sections_of(card, args).items():
        run.run(name, function)
    run.result.update(headlines(run.result['sections']), minutes=(time.monotonic() - start) / 60)
    run.write()
    print(json.dumps(run.result))


if __name__ == '__main__':
    main()
