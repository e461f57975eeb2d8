"""Firing rates, and energy against the teacher."""
from html import escape
from typing import Dict, List, Optional, Union

from ...evaluation import NetworkCost
from ...evaluation.energy import ASSUMPTIONS, rates_by_stage
from ..bench import Missing
from ..costs import Costs
from ..pieces import Section, bar, breakable, missing, pair, stacked_table, table

TITLE = 'Firing rates and energy'


def costs(measured: Union[Costs, Missing, None]) -> Optional[Section]:
    """Energy of a prediction, and firing rates by stage and by layer."""
    if measured is None:
        return None
    if isinstance(measured, Missing):
        return missing('energy', TITLE, measured)
    if not measured.students and measured.teacher is None:
        return missing('energy', TITLE, Missing('no network could be built; the first section says why.'))
    spiking = {name: cost for name, cost in measured.students.items() if cost.neurons}
    assumptions = ''.join(f'<li>{escape(line)}</li>' for line in ASSUMPTIONS)
    return Section('energy', TITLE,
                   f'One prediction, mean over {measured.samples} test samples, of the first seed. A spiking layer '
                   'adds only where its input spikes, so that what fires less costs less.',
                   pair(_energy(measured), _stages(spiking)) + _layers(spiking) +
                   f'<details><summary>How energy is counted</summary><ul>{assumptions}</ul></details>')


def _energy(measured: Costs) -> str:
    networks = dict(measured.students)
    if measured.teacher is not None:
        networks['teacher'] = measured.teacher
    highest = max(cost.energy for cost in networks.values())
    rows = []
    for name, cost in networks.items():
        rows.append([breakable(name), bar(cost.energy / highest, _si(cost.energy, 'J')),
                     _against(cost, measured.teacher), _si(cost.multiplied), _si(cost.synops)])
    return table(['Network', 'Energy', "of the teacher's", 'Multi&shy;plica&shy;tions', 'Addi&shy;tions'], rows,
                 'Energy and operations, all time steps of a sample.')


def _against(cost: NetworkCost, teacher: Union[NetworkCost, None]) -> str:
    return '–' if teacher is None or not teacher.energy else f'{100 * cost.energy / teacher.energy:.3g} %'


def _stages(spiking: Dict[str, NetworkCost]) -> str:
    """Firing rates of the stages, side by side."""
    rates = {name: dict(rates_by_stage(cost.neurons)) for name, cost in spiking.items()}
    stages = dict.fromkeys(stage for found in rates.values() for stage in found)
    if not stages:
        return ''
    highest = max(rate for found in rates.values() for rate in found.values()) or 1
    rows = [[breakable(stage.removeprefix('backbone.')),
             *(bar(found[stage] / highest, f'{100 * found[stage]:.1f} %') if stage in found else '–'
               for found in rates.values())] for stage in stages]
    return table(['Stage', *map(breakable, rates)], rows,
                 'Firing rate: share of neurons that spike in a time step, mean over the stage.')


def _layers(spiking: Dict[str, NetworkCost]) -> str:
    """Rates of every layer, and neurons that are of no use, folded away."""
    tables = [stacked_table(['Layer', 'Firing rate', 'Never fire', 'Always fire'], _layer_rows(cost),
                            f'<b>{escape(name)}</b>') for name, cost in spiking.items()]
    return (f'<details><summary>Every layer, and its neurons that never or always fire</summary>{"".join(tables)}'
            '</details>') if tables else ''


def _layer_rows(cost: NetworkCost) -> List[List[str]]:
    return [[f'<code>{breakable(layer.name.removeprefix("backbone."))}</code>', f'{100 * layer.firing_rate:.1f} %',
             f'{layer.dead:,} of {layer.neurons:,}', f'{layer.saturated:,}'] for layer in cost.neurons]


def _si(value: float, unit: str = '') -> str:
    """A number with an SI prefix, such as ``'1.25 µJ'``."""
    for factor, prefix in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'), (1, ''), (1e-3, 'm'), (1e-6, 'µ'), (1e-9, 'n')):
        if abs(value) >= factor:
            return f'{value / factor:.3g} {prefix}{unit}'.rstrip()
    return f'{value:.3g} {unit}'.rstrip() if not value else f'{value / 1e-12:.3g} p{unit}'
