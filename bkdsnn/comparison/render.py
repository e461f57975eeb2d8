"""The table of a comparison as Markdown and on the terminal."""
import statistics
from pathlib import Path
from typing import Dict, List, Optional

from rich.table import Table

from ..report.over_seeds import Gain, spread
from ..utils.atomic import write_atomically, write_json
from .plan import PLAIN, name_of, of_loss, text_of
from .table import Standing, Standings, tied

COLUMNS = ('', 'method', 'test accuracy %', 'gain over plain', '95 % interval', 'seeds', 'after each step %',
           'early exit: %, steps', 'spikes', 'energy, nJ', 'time/step', 'settings', 'val %')
NOTE = ('Mean ± standard deviation over seeds; gain: mean ± standard error of the differences between runs of the same '
        'seed, and its 95 % interval (Student\'s t). `=` is the best method, and those that the seeds do not tell from '
        'it; `~` a gain whose interval holds zero. Each interval stands by itself: of twenty methods that are no '
        'better than plain, one is expected beyond it. Early exit stops at a confidence from the validation split that '
        'loses nothing there. Spikes, and energy by 45 nm figures, are of one sample; time is that of a training step '
        'over plain\'s.')


def cells(standings: Standings, row: Standing) -> List[str]:
    """A row of the table."""
    settings = text_of(row.choice.point) if row.choice is not None else ''
    found = '' if row.choice is None or row.choice.accuracy is None else f'{row.choice.accuracy:.2f}'
    if not row.lines:
        state = 'see below' if row.remarks else 'no run is finished'
        return ['', row.name, state, *[''] * (len(COLUMNS) - 5), settings, found]
    accuracy = list(row.accuracy.values())
    mean, deviation = statistics.mean(accuracy), spread(accuracy)
    exits = row.mean('early_exit', 'accuracy'), row.mean('early_exit', 'mean_steps')
    time = standings.relative_time(row)
    energy = row.mean('energy')
    return ['=' if row.is_best else '', row.name + '*' * bool(row.remarks),
            f'{mean:.2f}' + ('' if deviation is None else f' ± {deviation:.2f}'), gain_text(row.gain),
            interval_text(row.gain), str(len(accuracy)), ' '.join(f'{value:.1f}' for value in row.over_time()),
            '' if None in exits else f'{exits[0]:.2f}, {exits[1]:.2f}', number(row.mean('spikes'), ',.0f'),
            number(energy and energy * 1e9, ',.1f'), number(time, '.2f'), settings, found]


def gain_text(gain: Optional[Gain]) -> str:
    """Mean and standard error."""
    if gain is None:
        return ''
    return f'{gain.mean:+.2f}' + ('' if gain.error is None else f' ± {gain.error:.2f}') + ' ~' * tied(gain)


def interval_text(gain: Optional[Gain]) -> str:
    """The 95 % interval."""
    if gain is None or gain.error is None:
        return ''
    return f'{gain.mean - gain.half_width:+.2f} to {gain.mean + gain.half_width:+.2f}'


def number(value: Optional[float], form: str) -> str:
    """A number, or nothing."""
    return '' if value is None else format(value, form)


def footnotes(standings: Standings) -> List[str]:
    """What the table alone does not say."""
    plan = standings.plan
    runs = [line for row in standings.rows for line in row.lines.values()]
    finals = f', the best {plan.finalists} with {plan.final_seeds} more' * bool(plan.finalists)
    where = '' if plan.tune_on is None else f' of {Path(plan.tune_on).stem}'
    tuned = (f'{plan.points} points for each method, {plan.tune_seeds} seed{"s" * (plan.tune_seeds > 1)} each{finals}, '
             f'on the validation split{where}' if plan.points else 'not tuned')
    fixed = [row.name for row in standings.rows if plan.points and row.choice and not row.choice.point]
    notes = [f'Settings: {tuned}' + f'; nothing is left to tune of {", ".join(fixed)}' * bool(fixed) + '.']
    remarks: Dict[str, List[str]] = {}
    for row in standings.rows:
        for remark in row.remarks if row.lines else ():
            remarks.setdefault(remark, []).append(f'{row.name}*')
    notes += [f'{", ".join(names)}: {remark}.' for remark, names in remarks.items()]
    notes += [f'{row.name}: {remark}' for row in standings.rows if not row.lines for remark in row.remarks]
    if any(line.get('early_exit', {}) is None for line in runs):
        notes.append('Early exit is left out: the pair validates on its test data, where no threshold may be chosen.')
    if plan.neurons:
        notes.append('Names begin with the neuron of the student. Gains are over plain with the same neuron, times '
                     f'over {name_of(PLAIN, Path(plan.neurons[0]).stem)}.')
    if of_pair := [key for key in plan.vary if not of_loss(key)]:
        notes.append(f'Gains are over plain with the same {", ".join(of_pair)}, times over the first of them.')
    if not any(row.method == PLAIN for row in standings.rows):
        notes.append('Without plain there are no gains; name it among the methods.')
    machines = sorted({'{}, {} threads, Python {}, PyTorch {}'.format(
        *map(line['machine'].get, ('device', 'threads')), *map(line['versions'].get, ('python', 'torch')))
        for line in runs})
    if machines:
        dates = sorted({line['date'][:10] for line in runs})
        notes.append(f'Trained on {"; ".join(machines)} ({" to ".join(dates[::len(dates) - 1 or 1])}).')
    teachers = {str(line['teacher']) for line in runs if line['teacher']}
    if len(teachers) > 1:
        notes.append(f'The runs are of {len(teachers)} different teachers ({", ".join(sorted(teachers))}), so their '
                     'accuracies do not compare.')
    return notes


def markdown(standings: Standings) -> str:
    """The table with its notes."""
    rows = [COLUMNS, [':-'] * len(COLUMNS), *(cells(standings, row) for row in standings.rows)]
    lines = ['| ' + ' | '.join(cell.replace('|', '\\|').replace('\n', ' ') for cell in row) + ' |' for row in rows]
    notes = [f'- {note}' for note in footnotes(standings)]
    return '\n'.join([f'# Methods on {Path(standings.plan.pair).stem}', '', *lines, '', NOTE, '', *notes]) + '\n'


def rich_table(standings: Standings) -> Table:
    """The table for a terminal; what takes most room stands in ``table.md`` alone."""
    shown = [place for place, name in enumerate(COLUMNS) if name not in ('95 % interval', 'val %')]
    table = Table(*(COLUMNS[place] for place in shown), title=Path(standings.plan.pair).stem)
    for row in standings.rows:
        values = cells(standings, row)
        table.add_row(*(values[place] for place in shown))
    return table


def write(standings: Standings) -> None:
    """Write ``table.md`` and ``summary.json`` into the comparison's folder."""
    out = Path(standings.plan.out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / 'summary.json', standings.summary())
    write_atomically(out / 'table.md', lambda file: file.write(markdown(standings).encode()))
