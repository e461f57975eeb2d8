"""Write the tables of docs/methods_table.md from finished runs: ``python benchmarks/write_methods_table.py``.

Nothing is trained: the runs are the lines of ``benchmarks/results/compare/PAIR.jsonl``, to which the commands on the
page add. Each table stands between two comments, ``<!-- table PAIR -->`` and ``<!-- end -->``, and is written anew;
what is around them is written by hand. What authors report beside is ``benchmarks/reported.json``; pictures go to
``docs/_static``.
"""
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

from mmengine.logging import MMLogger

from bkdsnn.comparison import Plan, Standings
from bkdsnn.comparison.launch import look
from bkdsnn.comparison.pictures import write_pictures
from bkdsnn.comparison.render import COLUMNS, NOTE, cells, footnotes

BENCHMARKS = Path(__file__).resolve().parent
RESULTS, DOCS = BENCHMARKS / 'results' / 'compare', BENCHMARKS.parent / 'docs'
PAGE = DOCS / 'methods_table.md'
# Of each method: its section in the docs, what its authors report, and what their code does otherwise, in few words.
AUTHORS: Dict[str, Dict[str, str]] = json.loads((BENCHMARKS / 'reported.json').read_text(encoding='utf-8'))
# Pairs and how their methods are compared.
TABLES: Dict[str, dict] = {
    'sew-resnet-t2_resnet_digits': dict(methods=('plain', *AUTHORS), seeds=20),
}
ACCURACY = ('', 'method', 'test accuracy %', 'gain over plain', '95 % interval', 'settings', 'val %')
COSTS = ('method', 'after each step %', 'early exit: %, steps', 'spikes', 'energy, nJ', 'time/step')


def standings_of(pair: str, folder: Path) -> Standings:
    """The table of a pair's finished runs; ``folder`` is for their copy."""
    shutil.copyfile(RESULTS / f'{pair}.jsonl', folder / 'results.jsonl')
    return look(Plan(pair, out=str(folder), **TABLES[pair]))


def link(name: str) -> str:
    """A method's name with a link to what it is; a star stays a star."""
    bare = name.rstrip('*')
    return f'[`{bare}`]({AUTHORS[bare]["section"]})' + '\\*' * (name != bare) if bare in AUTHORS else name


def table_of(standings: Standings, has_picture: bool) -> List[str]:
    """Two tables, of accuracy beside what authors report, and of time steps and costs, with their notes."""
    rows = [dict(zip(COLUMNS, cells(standings, row))) for row in standings.rows]
    seeds = {row['seeds'] for row in rows}
    accuracy, costs = [[*ACCURACY, 'authors report', 'their code']], [list(COSTS)]
    for found, row in zip(rows, standings.rows):
        authors = AUTHORS.get(row.method, {})
        found = dict(found, method=link(found['method']))
        accuracy.append([*(found[name] for name in ACCURACY), *map(authors.get, ('reported', 'otherwise'))])
        costs.append([found[name] for name in COSTS])
    notes = [f'- {note}' for note in footnotes(standings)]
    picture = [f'![Gains over plain, a dot for each seed](_static/{picture_of(standings.plan.pair)})', '']
    return ['', *picture * has_picture, *grid(accuracy), '', *grid(costs), '',
            f'{" or ".join(sorted(seeds))} seeds. {NOTE}', '', *notes, '']


def grid(rows: List[List[str]]) -> List[str]:
    """Lines of a table in Markdown; the first row is its head."""
    head, *body = [['' if cell is None else cell for cell in row] for row in rows]
    body = [[cell.replace('\n', ' ').replace('|', '\\|') for cell in row] for row in body]
    return ['| ' + ' | '.join(row) + ' |' for row in [head, [':-'] * len(head), *body]]


def picture_of(pair: str) -> str:
    """Name of a pair's picture."""
    return f'gains_{pair.rpartition("_")[2]}.svg'


def written(page: str) -> Tuple[str, Dict[str, bytes]]:
    """The page with its tables, and pictures by their names."""
    pictures = {}
    for pair in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            standings = standings_of(pair, Path(folder))
            has_picture = 'gains.svg' in write_pictures(standings, Path(folder))
            if has_picture:
                pictures[picture_of(pair)] = (Path(folder) / 'gains.svg').read_bytes()
            lines = '\n'.join(table_of(standings, has_picture))
        page, count = re.subn(rf'(<!-- table {pair} -->\n).*?(<!-- end -->)',
                              lambda match, lines=lines: match[1] + lines + match[2], page, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f'{PAGE} needs one place for the table: <!-- table {pair} --> and <!-- end -->.')
    return page, pictures


def main() -> None:
    MMLogger.get_instance('mmengine', log_level='ERROR')
    page, pictures = written(PAGE.read_text(encoding='utf-8'))
    PAGE.write_text(page, encoding='utf-8')
    for name, content in pictures.items():
        (DOCS / '_static' / name).write_bytes(content)
    print(f'Wrote {PAGE} and {", ".join(pictures) or "no picture"}.', file=sys.stderr)


if __name__ == '__main__':
    main()
