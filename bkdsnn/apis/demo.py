"""What the command lines in ``demo`` share: their arguments, the table of predictions, and JSON."""
import argparse
import json
import os.path as osp
import sys
from contextlib import nullcontext, redirect_stdout
from typing import ContextManager, List, Optional

from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

from ..utils.atomic import write_atomically
from .inferencer import SpikingInferencer

# More rows are left to --json.
MAX_ROWS = 50


def add_demo_arguments(parser: argparse.ArgumentParser, model: str) -> None:
    """Arguments of all demos; ``model`` is the default."""
    parser.add_argument('model', nargs='?', default=model,
                        help=f'name of a model, hf://owner/name, config, or file of publish_model.py; default: '
                             f'{model}')
    parser.add_argument('--checkpoint', help='weights: file, URL or work directory; default: those of the package')
    parser.add_argument('--show-dir', help='folder for pictures of the inputs with their predictions')
    parser.add_argument('--show', action='store_true', help='open a window for each input')
    parser.add_argument('--time-steps', type=int, help='other than the network was trained with')
    parser.add_argument('--threshold', type=float, help='confidence at which an input is done, such as 0.9')
    parser.add_argument('--batch-size', type=int, default=32, help='how many inputs run together')
    parser.add_argument('--device', help='such as cpu or cuda:0; default: a GPU if there is one')
    parser.add_argument('--json', metavar='FILE', help='write all results here; - writes them to the standard output')


def make_inferencer(args: argparse.Namespace, **kwargs) -> SpikingInferencer:
    """The inferencer that the arguments ask for; what happens once is logged, what is usual is not."""
    MMLogger.get_instance('mmengine', log_level='WARNING')
    return SpikingInferencer(args.model, args.checkpoint or True, args.device, **kwargs)


def only_json_on_stdout(args: argparse.Namespace) -> ContextManager:
    """Where JSON goes to the standard output, a context in which everything else goes to the error output."""
    return redirect_stdout(sys.stderr) if args.json == '-' else nullcontext()


def write_json(results: List[dict], path: Optional[str]) -> None:
    """Write results to a file, or to the standard output if it is ``'-'``."""
    if path is None:
        return
    text = json.dumps(results, indent=2, default=lambda array: array.tolist()) + '\n'
    if path == '-':
        sys.stdout.write(text)
    else:
        write_atomically(path, lambda file: file.write(text.encode()))


def predict_and_print(args: argparse.Namespace, **kwargs) -> bool:
    """Predict ``args.input``, print the table and write JSON.

    Returns:
        Whether every input could be predicted.
    """
    with only_json_on_stdout(args):
        inferencer = make_inferencer(args, **kwargs)
        results = inferencer(args.input, batch_size=args.batch_size, T=args.time_steps, threshold=args.threshold,
                             show=args.show, show_dir=args.show_dir)
        print_table(results, args.model, args.time_steps or inferencer.time_steps)
    write_json(results, args.json)
    return all('error' not in result for result in results)


def print_table(results: List[dict], model: str, time_steps: Optional[int]) -> None:
    """Print predictions, and below them what could not be predicted.

    Args:
        results: Of an inferencer.
        model: Its name.
        time_steps: How many steps the network may take; ``None`` for an ANN.
    """
    console = Console(width=None if Console().is_terminal else 120)
    predicted = [result for result in results if 'error' not in result]
    if predicted:
        spiking = ['score after each step', 'steps', 'spikes'] if time_steps else []
        table = Table('input', 'prediction', 'score', *spiking, title=model)
        names = _short([result['name'] for result in predicted])
        for name, result in zip(names[:MAX_ROWS], predicted):
            table.add_row(name, *_cells(result))
        console.print(table)
    if len(predicted) > MAX_ROWS:
        console.print(f'... and {len(predicted) - MAX_ROWS} more; --json FILE has them all.')
    if predicted and time_steps:
        steps, spikes = (sum(result[key] for result in predicted) / len(predicted) for key in ('steps', 'spikes'))
        console.print(f'Mean: {steps:.2f} of {time_steps} steps, {spikes:,.0f} spikes.')
    for result in results:
        if 'error' in result:
            console.print(f'Not predicted: {result["error"]}', markup=False, highlight=False, soft_wrap=True)


def _short(paths: List[str]) -> List[str]:
    """Paths without the folder that they have in common."""
    folder = osp.dirname(paths[0]) if len(paths) == 1 else osp.commonpath(paths)
    return [osp.relpath(path, folder or '.') for path in paths]


def _cells(result: dict) -> List[str]:
    label = result['pred_label']
    cells = [result.get('pred_class', str(label)), f'{result["pred_score"]:.3f}']
    if 'steps' in result:
        scores = [f'{score:.2f}' for score in result['step_scores'][:, label]]
        shown = scores if len(scores) <= 8 else [*scores[:4], '...', *scores[-3:]]
        cells += [' '.join(shown), str(result['steps']), f'{result["spikes"]:,}']
    return cells
