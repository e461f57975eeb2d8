"""Export a student with torch.export: ``python tools/export_program.py CONFIG CHECKPOINT --out student.pt2``.

PyTorch runs the file without this package (``torch.export.load``), and compiles it for C++ and other devices. It is
checked against the student before it is written.
"""
import argparse

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.export import program_runner, program_to_bytes, to_program
from bkdsnn.export.command import add_export_arguments, check_and_write, load_student


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_export_arguments(parser, '.pt2')
    parser.add_argument('--batch-size', type=int,
                        help='fixed number of samples, on which it is checked then; default: any number')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    student = load_student(args)
    program = to_program(student.deployed, student.shape, args.batch_size)
    content = program_to_bytes(program)
    check_and_write(args, student, content, lambda: program_runner(content))
    operations = sum(node.op == 'call_function' for node in program.graph.nodes)
    print(f'{operations} operations; input inputs, outputs scores (B, K) and step_logits (T, B, K)')


if __name__ == '__main__':
    with fail_clearly():
        main()
