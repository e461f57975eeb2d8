"""Export a student to NIR, for neuromorphic chips: ``python tools/export_nir.py CONFIG CHECKPOINT --out student.nir``.

NIR holds convolutions, linear layers, norms, pooling, sums, and IF and LIF neurons with hard reset; for other networks
the error says which layer it cannot hold, and why. The file is checked against the student before it is written.
"""
import argparse
from collections import Counter

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.export import nir_runner, nir_to_bytes, to_nir
from bkdsnn.export.command import add_export_arguments, check_and_write, load_student


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_export_arguments(parser, '.nir')
    parser.add_argument('--dt', type=float, default=1e-4, help='length of a time step in seconds (1e-4)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    student = load_student(args)
    graph = to_nir(student.deployed, student.shape, args.dt)
    content = nir_to_bytes(graph)
    check_and_write(args, student, content, lambda: nir_runner(content, student.deployed))
    kinds = Counter(type(node).__name__ for node in graph.nodes.values())
    print(f'{len(graph.nodes)} nodes: ' + ', '.join(f'{number} {kind}' for kind, number in kinds.most_common()))
    steps = graph.metadata['time_steps']
    shown = 'the image in each' if len(student.shape) == 3 else 'a frame in each'
    print(f'Run it for {steps} steps of {args.dt:g} s, {shown}; the mean of its outputs are the logits.')


if __name__ == '__main__':
    with fail_clearly():
        main()
