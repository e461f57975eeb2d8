"""Write the tables of docs that compare methods: ``python benchmarks/write_tables.py``.

Nothing is trained: the runs are the lines of ``benchmarks/results/compare/PAIR.jsonl``, or of the file that a
comparison names as its ``runs``, to which the commands on the pages add. Each table stands between two comments,
``<!-- table NAME -->`` and ``<!-- end -->``, and is written anew; what is around them is written by hand. What authors
report beside is ``benchmarks/reported.json``; pictures go to ``docs/_static``.
"""
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

from mmengine.logging import MMLogger

from bkdsnn.comparison import Plan, Standings
from bkdsnn.comparison.launch import look
from bkdsnn.comparison.pictures import write_pictures
from bkdsnn.comparison.plan import of_loss
from bkdsnn.comparison.render import COLUMNS, cells, footnotes

BENCHMARKS = Path(__file__).resolve().parent
RESULTS, DOCS = BENCHMARKS / 'results' / 'compare', BENCHMARKS.parent / 'docs'
# Of each method: its section in the docs, what its authors report, and what their code does otherwise, in few words.
AUTHORS: Dict[str, Dict[str, str]] = json.loads((BENCHMARKS / 'reported.json').read_text(encoding='utf-8'))
DIGITS = 'sew-resnet-t2_resnet_digits'
TRANSFORMER = 'spikingformer-1-64-t2_vit_digits-32'
EVENTS = 'sew-resnet-t4_sew-resnet-t16_digits-dvs'
FASHION = 'sew-resnet-t4_resnet_fashion'
LR, BKD, BLURS, TAU = 'optim_wrapper.optimizer.lr', 'losses.loss_bkd', (0, 0.15, 0.3, 0.5), 'losses.loss_wsld.tau'
BLOCK_RATE = f'{BKD}.lr_mult'
# Teachers that come with the package. Of the digits, some runs had another, and are a file of their own.
TEACHER = {'model.teacher.checkpoint': 'configs/demo/weights/teacher-1b5d4f7b.pth'}
VIT_TEACHER = {'model.teacher.checkpoint': 'configs/demo/weights/spikingformer_teacher_vit-df1c2413.pth'}
EVENTS_TEACHER = {'model.teacher.checkpoint': 'configs/demo/weights/events_teacher-35a7f4d8.pth'}
SHIPPED = dict(pair=DIGITS, runs=f'{DIGITS}_shipped', seeds=20, options=TEACHER)
# At the rate that the search has found for WSLD.
AT_WSLD = dict(SHIPPED, points=0, options={**TEACHER, LR: 0.1})
# All methods where a run takes longer: fewer seeds in the search.
LONGER = dict(methods=('plain', *AUTHORS), tune_seeds=1, finalists=2, final_seeds=2)
# Those that are trained on larger data: the usual ones, and the best of the digits' table.
CAMPAIGN = ('plain', 'kd', 'wsld', 'bkd', 'bkd_decoupled', 'mixed', 'reviewkd', 'seal', 'dkd')
# Pages, and the comparisons whose tables they hold.
PAGES: Dict[str, Dict[str, dict]] = {
    'methods_table.md': {
        'digits': dict(SHIPPED, methods=('plain', *AUTHORS), seeds=48, points=9, finalists=2, final_seeds=4),
        'transformer': dict(LONGER, pair=TRANSFORMER, points=7, seeds=5, options=VIT_TEACHER),
        'events': dict(LONGER, pair=EVENTS, points=11, seeds=44, options=EVENTS_TEACHER),
        'random_T': dict(SHIPPED, methods=('plain', 'kd', 'twd'), points=0, options={**TEACHER, LR: 0.3},
                         vary={'model.student.random_T': (None, [1, 2])}),
        'transformer_plain_rates': dict(pair=TRANSFORMER, methods=('plain', ), seeds=5, points=0, options=VIT_TEACHER,
                                        vary={LR: (0.03, 0.1, 0.2)}),
        'plain_rates': dict(SHIPPED, methods=('plain', ), points=0, vary={LR: (0.3, 1)}),
    },
    'fashion_results.md': {
        'fashion': dict(pair=FASHION, tune_on=f'{FASHION}-10pct', methods=CAMPAIGN, seeds=3, points=7, tune_seeds=1),
        'fashion_10pct': dict(pair=f'{FASHION}-10pct', methods=CAMPAIGN, seeds=5, points=7, tune_seeds=1),
    },
    'ablation.md': {
        'blur': dict(pair=DIGITS, methods=('plain', 'bkd'), seeds=20, points=0, options={LR: 0.3},
                     vary={f'{BKD}.blur_ratio': BLURS, f'{BKD}.loss_weight': (0.02, )}),
        'blur_decoupled': dict(pair=DIGITS, methods=('plain', 'bkd_decoupled'), seeds=20, points=0, options={LR: 0.3},
                               vary={f'{BKD}.blur_ratio': BLURS}),
        'parts': dict(pair=DIGITS, methods=('plain', 'bkd'), seeds=20, points=0, options={LR: 0.3},
                      vary={f'{BKD}.restore': (True, False), f'{BKD}.align': (True, False),
                            f'{BKD}.loss_weight': (0.02, )}),
        'parts_decoupled': dict(pair=DIGITS, methods=('plain', 'bkd_decoupled'), seeds=20, points=0, options={LR: 0.3},
                                vary={f'{BKD}.restore': (True, False), f'{BKD}.align': (True, False)}),
        'weight': dict(pair=DIGITS, methods=('plain', 'bkd'), seeds=6, points=0,
                       vary={f'{BKD}.loss_weight': (0.002, 0.005, 0.01, 0.02, 0.05, 0.1), LR: (0.1, 0.3)}),
        'weight_decoupled': dict(pair=DIGITS, methods=('plain', 'bkd_decoupled'), seeds=6, points=0,
                                 vary={f'{BKD}.loss_weight': (1, 2.5, 10, 25, 100), LR: (0.1, 0.3, 1)}),
        'block_rate': dict(SHIPPED, methods=('plain', 'bkd'), seeds=6, points=0,
                           vary={BLOCK_RATE: (1, 0.3, 0.1, 0.03, 0.01), f'{BKD}.loss_weight': (0.02, 0.05),
                                 LR: (0.3, 1)}),
        'block_rate_decoupled': dict(SHIPPED, methods=('plain', 'bkd_decoupled'), seeds=6, points=0,
                                     vary={BLOCK_RATE: (1, 0.3, 0.1, 0.03, 0.01), LR: (0.3, 1)}),
        'block_rate_adamw': dict(pair=f'{DIGITS}_adamw', runs=f'{DIGITS}_adamw_shipped', methods=('plain', 'bkd'),
                                 seeds=6, points=0, options=TEACHER,
                                 vary={BLOCK_RATE: (1, 0.3, 0.1, 0.03), f'{BKD}.loss_weight': (0.01, 0.05),
                                       LR: (0.003, 0.01)}),
        'mixed_parts': dict(SHIPPED, methods=('plain', 'wsld', 'mixed', 'mixed_decoupled'), points=9, finalists=3,
                            final_seeds=6, vary={f'{BKD}.restore': (True, False)}),
        'mixed_weight': dict(AT_WSLD, methods=('plain', 'wsld', 'mixed'),
                             vary={f'{BKD}.loss_weight': (0.0002, 0.002, 0.02, 0.05, 0.1), TAU: (8, )}),
        'mixed_weight_decoupled': dict(AT_WSLD, methods=('plain', 'wsld', 'mixed_decoupled'),
                                       vary={f'{BKD}.loss_weight': (1, 10, 100), TAU: (8, )}),
        'mixed_blur': dict(AT_WSLD, methods=('plain', 'wsld', 'mixed'),
                           vary={f'{BKD}.blur_ratio': BLURS, f'{BKD}.loss_weight': (0.02, ), TAU: (8, )}),
        'adamw': dict(pair=f'{DIGITS}_adamw', methods=('plain', 'bkd'), seeds=5, points=0,
                      vary={f'{BKD}.loss_weight': (0.002, 0.01, 0.05, 0.2), LR: (0.003, 0.01)}),
        'adamw_decoupled': dict(pair=f'{DIGITS}_adamw', methods=('plain', 'bkd_decoupled'), seeds=5, points=0,
                                vary={f'{BKD}.loss_weight': (1, 10, 100), LR: (0.003, 0.01)}),
    },
}
READING = '[how to read it](compare.md#how-to-read-the-table)'
ACCURACY = ('', 'method', 'test accuracy %', 'gain over plain', '95 % interval', 'settings', 'val %')
COSTS = ('method', 'after each step %', 'early exit: %, steps', 'spikes', 'energy, nJ', 'time/step')


def standings_of(plan: Dict[str, Any], folder: Path) -> Standings:
    """The table of a comparison's finished runs; ``folder`` is for a copy of them and of the search's."""
    plan = dict(plan)
    runs = plan.pop('runs', plan['pair'])
    files = [RESULTS / f'{name}.jsonl' for name in dict.fromkeys([plan.get('tune_on') or runs, runs])]
    (folder / 'results.jsonl').write_bytes(b''.join(file.read_bytes() for file in files))
    return look(Plan(out=str(folder), **plan))


def link(name: str) -> str:
    """A method's name with a link to what it is; a star stays a star."""
    bare = name.rstrip('*')
    return f'[`{bare}`]({AUTHORS[bare]["section"]})' + '\\*' * (name != bare) if bare in AUTHORS else name


def ranking(standings: Standings) -> List[str]:
    """Two tables, of accuracy, beside what authors report where all methods are, and of time steps and costs."""
    rows = [dict(zip(COLUMNS, cells(standings, row))) for row in standings.rows]
    everything = set(AUTHORS) <= set(standings.plan.methods)
    beside = {'reported': 'authors report', 'otherwise': 'their code'} if everything else {}
    accuracy, costs = [[*ACCURACY, *beside.values()]], [list(COSTS)]
    for found, row in zip(rows, standings.rows):
        authors = AUTHORS.get(row.method, {})
        found = dict(found, method=link(found['method']))
        accuracy.append([*(found[name] for name in ACCURACY), *map(authors.get, beside)])
        costs.append([found[name] for name in COSTS])
    return [*grid(accuracy), '', *grid(costs), '', f'{seeds_of(standings)}; {READING}.']


def sweep(standings: Standings) -> List[str]:
    """One table: a row for each curve, a column for each value of the first varied key."""
    key, values = next(iter(standings.plan.vary.items()))
    rows = [[f'{key.rpartition(".")[2]}:', 'without it', *map(str, values)]]
    for name, curve in sorted(standings.curves().items()):
        found = {}
        for row in curve:
            _, _, accuracy, gain, *_ = cells(standings, row)
            found[repr(row.variation.get(key))] = accuracy + f' ({gain})' * bool(gain)
        rows.append([name, *(found.get(repr(value)) for value in (None, *values))])
    return [*grid(rows), '', f'{seeds_of(standings)}.']


def seeds_of(standings: Standings) -> str:
    """How many seeds the rows of a table have."""
    return ' or '.join(map(str, sorted({len(row.lines) for row in standings.rows if row.lines}))) + ' seeds'


def grid(rows: List[list]) -> List[str]:
    """Lines of a table in Markdown; the first row is its head, and ``None`` an empty cell."""
    head, *body = [['' if cell is None else cell for cell in row] for row in rows]
    body = [[cell.replace('\n', ' ').replace('|', '\\|') for cell in row] for row in body]
    return ['| ' + ' | '.join(row) + ' |' for row in [head, [':-'] * len(head), *body]]


def command_of(plan: Dict[str, Any], out: str) -> List[str]:
    """The command that makes a comparison's runs, for a code block."""
    assigned = [shlex.quote(f'{key}={value}') for key, value in plan.get('options', {}).items()]
    varied = [shlex.quote(f'{key}={",".join(map(str, values))}'.replace(' ', ''))
              for key, values in plan.get('vary', {}).items()]
    numbers = {key: plan[key] for key in ('seeds', 'points', 'tune_seeds', 'finalists', 'final_seeds') if key in plan}
    words = [f'--methods {" ".join(plan["methods"])}',
             ' '.join(f'--{key.replace("_", "-")} {number}' for key, number in numbers.items()),
             *[f'--cfg-options {" ".join(assigned)}'] * bool(assigned), *[f'--vary {" ".join(varied)}'] * bool(varied),
             f'--out work_dirs/compare/{out}']
    return ['```bash', ' \\\n    '.join([f'python tools/compare_methods.py {plan["pair"]}', *words]), '```']


def section(name: str, plan: Dict[str, Any]) -> Tuple[List[str], Dict[str, bytes]]:
    """Lines of a comparison's place on its page, and its picture by its file's name."""
    with tempfile.TemporaryDirectory() as folder:
        standings = standings_of(plan, Path(folder))
        vary = standings.plan.vary
        # Students that differ, and methods that are tuned, each have a row with their settings.
        is_sweep = bool(vary) and not plan['points'] and of_loss(next(iter(vary)))
        kind, alt, table = (('curves', 'Test accuracy, a dot for each seed', sweep) if is_sweep else
                            ('gains', 'Gains over plain, a dot for each seed', ranking))
        lines, pictures = [''], {}
        if vary or 'options' in plan:
            lines += [*command_of(plan, name), '']
        if vary:
            # Why there is no run may depend on the files that are here; the page says it in words.
            standings.rows = [row for row in standings.rows if row.lines]
        if f'{kind}.svg' in write_pictures(standings, Path(folder)):
            pictures[f'{kind}_{name}.svg'] = (Path(folder) / f'{kind}.svg').read_bytes()
            lines += [f'![{alt}](_static/{kind}_{name}.svg)', '']
        notes = [f'- {note}' for note in footnotes(standings)]
        return [*lines, *table(standings), '', *notes, ''], pictures


def written(page: str, comparisons: Dict[str, dict]) -> Tuple[str, Dict[str, bytes]]:
    """A page with its tables, and pictures by their files' names."""
    found = {}
    for name, plan in comparisons.items():
        lines, pictures = section(name, plan)
        found.update(pictures)
        page, count = re.subn(rf'(<!-- table {name} -->\n).*?(<!-- end -->)',
                              lambda match, text='\n'.join(lines): match[1] + text + match[2], page, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f'the page needs one place for the table: <!-- table {name} --> and <!-- end -->.')
    return page, found


def main() -> None:
    MMLogger.get_instance('mmengine', log_level='ERROR')
    for name, comparisons in PAGES.items():
        page, pictures = written((DOCS / name).read_text(encoding='utf-8'), comparisons)
        (DOCS / name).write_text(page, encoding='utf-8')
        for picture, content in pictures.items():
            (DOCS / '_static' / picture).write_bytes(content)
        print(f'Wrote {DOCS / name} and {", ".join(pictures) or "no picture"}.', file=sys.stderr)


if __name__ == '__main__':
    main()
