"""List pairs, methods, neurons and experiments: ``python tools/list_experiments.py``."""
import argparse
from pathlib import Path
from typing import Dict

from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.model import config_root
from bkdsnn.config.methods import methods, pairs
from bkdsnn.config.neurons import neurons


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('words', nargs='*', help='list only what has all of these words in its name')
    return parser.parse_args()


def first_comment(path: Path) -> str:
    """What the first comment of a config says, up to its first colon or the end of the line."""
    line = path.read_text(encoding='utf-8').partition('\n')[0]
    return line.lstrip('# ').rstrip('.')


def show(console: Console, title: str, files: Dict[str, Path]) -> None:
    """Print names and what they are, if there are any."""
    if files:
        table = Table('name', 'what it is', title=f'{title} ({len(files)})', title_justify='left')
        for name, path in files.items():
            table.add_row(name, first_comment(path))
        console.print(table)


def main() -> None:
    words, root = parse_args().words, config_root()
    experiments = {path.relative_to(root).with_suffix('').as_posix(): path for path in sorted(root.glob('[!_]*/*.py'))}
    console = Console(width=160)
    for title, files in (('Pairs, for tools/train.py PAIR --method METHOD', pairs()), ('Methods', methods()),
                         ('Neurons, for tools/compare_methods.py PAIR --neurons NEURON', neurons()),
                         ('Experiments, for tools/train.py configs/EXPERIMENT.py', experiments)):
        show(console, title, {name: path for name, path in files.items() if all(word in name for word in words)})


if __name__ == '__main__':
    with fail_clearly():
        main()
