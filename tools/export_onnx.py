"""Export a student to ONNX: ``python tools/export_onnx.py CONFIG CHECKPOINT --out student.onnx``.

All time steps are in one graph. The file is checked against the student with onnxruntime before it is written.
"""
import argparse

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.export import onnx_runner, to_onnx, to_program
from bkdsnn.export.command import add_export_arguments, check_and_write, load_student


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_export_arguments(parser, '.onnx')
    parser.add_argument('--batch-size', type=int,
                        help='fixed number of samples, on which it is checked then; default: any number')
    parser.add_argument('--opset', type=int, help="version of the operators; default: PyTorch's")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    student = load_student(args)
    model = to_onnx(to_program(student.deployed, student.shape, args.batch_size), args.opset)
    content = model.SerializeToString()
    check_and_write(args, student, content, lambda: onnx_runner(content))
    print(f'Opset {model.opset_import[0].version}, {len(model.graph.node)} nodes')
    for kind, values in (('Input', model.graph.input), ('Output', model.graph.output)):
        for value in values:
            dims = (dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
            print(f'{kind} {value.name} ({", ".join(dims)})')


if __name__ == '__main__':
    with fail_clearly():
        main()
