"""Operations, firing rates and energy of a network: ``python tools/analysis_tools/get_synops.py CONFIG [CHECKPOINT]``.

Of a distillation config, those of the student, beside those of the teacher on the same samples.
"""
import argparse
import statistics
from typing import List, Optional, Tuple

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from bkdsnn import init_model
from bkdsnn.apis.cli import fail_clearly, file_to_write
from bkdsnn.apis.evaluate import build_loader, init_teacher, spread_samples
from bkdsnn.config.checks import check_config
from bkdsnn.config.files import read_config_file
from bkdsnn.evaluation import LayerCost, NetworkCost, NeuronActivity, measure_synops
from bkdsnn.evaluation.energy import AC_ENERGY, ASSUMPTIONS, MAC_ENERGY
from bkdsnn.evaluation.synops import prepare
from bkdsnn.models.teachers import FrozenTeacher
from bkdsnn.utils.atomic import write_json

RANDOM = 'NO CHECKPOINT: the weights are random, so rates and energy are not those of a trained network.'
NO_TEACHER = 'the config has none'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file, URL or work directory; without it the weights '
                        'are random')
    parser.add_argument('--split', choices=['test', 'val', 'train'], default='test', help='whose samples (test)')
    parser.add_argument('--num-samples', type=int, default=200,
                        help='how many samples, spread over the data set (200)')
    parser.add_argument('--device', default='cpu', help='where to compute, such as cuda:0')
    parser.add_argument('--json', type=file_to_write, help='also write all figures to this file')
    return parser.parse_args()


def layer_table(layers: List[LayerCost]) -> Table:
    table = Table('layer', 'input', 'MACs, M', 'mean input', 'non-zero %', 'ACs, M', 'exact', 'energy, uJ',
                  title='One sample, all time steps')
    for layer in layers:
        rate, synops, exact = (f'{layer.firing_rate:.4f}', f'{layer.synops / 1e6:,.4f}',
                               f'{layer.synops_exact / 1e6:,.4f}') if layer.accumulates else ('', '', '')
        table.add_row(layer.name, layer.input, f'{layer.macs / 1e6:,.4f}', rate, f'{100 * layer.nonzero:.1f}', synops,
                      exact, f'{layer.energy * 1e6:.4f}')
    return table


def neuron_table(neurons: List[NeuronActivity]) -> Table:
    table = Table('neurons', 'firing rate', 'number', 'dead', 'saturated', 'flags',
                  title='Over all samples; dead neurons never spike, saturated ones spike in every step')
    for layer in neurons:
        table.add_row(layer.name, f'{layer.firing_rate:.4f}', f'{layer.neurons:,}', f'{layer.dead:,}',
                      f'{layer.saturated:,}', flags(layer))
    return table


def flags(layer: NeuronActivity) -> str:
    """Channels without a neuron that tells anything."""
    found = {'dead': layer.dead_channels, 'saturated': layer.saturated_channels}
    return ', '.join(f'{len(channels)} of {layer.channels} channels {state}' for state, channels in found.items()
                     if channels)


def summary(name: str, cost: NetworkCost) -> str:
    low, middle, high = (1e6 * f(cost.energies) for f in (min, statistics.median, max))
    lines = [f'{name}: {cost.energy * 1e6:.4f} uJ for one sample, mean of {cost.samples}' + (
        f' (least {low:.4f}, median {middle:.4f}, most {high:.4f})' if cost.synops else '')]
    lines.append(f'  {cost.multiplied / 1e6:,.4f} M MACs and {cost.synops / 1e6:,.4f} M ACs; '
                 f'{cost.macs / 1e6:,.4f} M MACs if nothing were skipped')
    if cost.neurons:
        lines.append(f'  T={cost.time_steps}, {cost.firing_rate:.4f} spikes per neuron and time step')
    if cost.synops:
        lines.append(f'  {cost.synops_exact / 1e6:,.4f} M ACs counted one by one, as spikes near padded borders reach '
                     'fewer outputs')
    if cost.energy_binary_only != cost.energy:
        lines.append(f'  {cost.energy_binary_only * 1e6:.4f} uJ if integers were multiplied and only binary spikes '
                     'accumulated')
    return '\n'.join(lines)


def measure(args: argparse.Namespace) -> dict:
    """Costs of student and teacher, and why there is none of the teacher."""
    if args.num_samples < 1:
        raise ValueError(f'--num-samples {args.num_samples} must be at least 1.')
    cfg = read_config_file(args.config)
    check_config(cfg)
    student = init_model(cfg, args.checkpoint, args.device)
    loader = build_loader(student.cfg, args.split)
    teacher, reason = find_teacher(student, args.device)

    def samples(name: str, view: str):
        number = min(args.num_samples, len(loader.dataset))
        batches = track(spread_samples(loader, number), name, total=number, console=Console(stderr=True))
        return (prepare(student, batch, view) for batch in batches)

    found = dict(student=measure_synops(student, samples('Student', 'student')), teacher=None, no_teacher=reason)
    if teacher is not None:
        found['teacher'] = measure_synops(teacher.network, map(teacher.for_network, samples('Teacher', 'teacher')))
    return found


def find_teacher(student: nn.Module, device: str) -> Tuple[Optional[nn.Module], Optional[str]]:
    """The teacher with its weights, or why there is none."""
    try:
        teacher = init_teacher(student.cfg, student)
    except (OSError, ValueError) as error:
        return None, str(error)
    if teacher is None:
        return None, NO_TEACHER
    if not isinstance(teacher, FrozenTeacher):
        return None, 'several networks teach together; name the config of one to measure it'
    return teacher.to(device), None


def report(found: dict, has_weights: bool) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    student, teacher = found['student'], found['teacher']
    console.print(layer_table(student.layers))
    if student.neurons:
        console.print(neuron_table(student.neurons))
    for line in ASSUMPTIONS:
        console.print(f'- {line}')
    console.print(summary('Network' if found['no_teacher'] == NO_TEACHER else 'Student', student))
    if teacher is None:
        console.print(f'Teacher: not measured, since {found["no_teacher"]}')
    else:
        console.print(summary('Teacher', teacher))
        console.print(f'The student takes {100 * student.energy / teacher.energy:.2f} % of the teacher\'s energy; '
                      f'without skipping, it has {100 * student.macs / teacher.macs:.2f} % of its MACs.')
    if not has_weights:
        console.print(RANDOM, style='bold red')


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    if args.checkpoint is None:
        Console(stderr=True).print(RANDOM, style='bold red')
    found = measure(args)
    report(found, args.checkpoint is not None)
    if args.json:
        costs = {name: None if found[name] is None else found[name].to_dict() for name in ('student', 'teacher')}
        write_json(args.json, dict(config=args.config, checkpoint=args.checkpoint, split=args.split,
                                   mac_energy=MAC_ENERGY, ac_energy=AC_ENERGY, assumptions=ASSUMPTIONS, **costs,
                                   no_teacher=found['no_teacher']))


if __name__ == '__main__':
    with fail_clearly():
        main()
