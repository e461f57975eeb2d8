"""Accuracy after each time step, and what stopping early saves."""
import statistics
from typing import Dict, List, Optional, Union

import numpy as np

from ...visualization.figures import looks_of, svg
from ..bench import Missing
from ..charts import draw_over_time
from ..groups import Comparison
from ..measure import MAX_DROP, Exit, Exits, Tested
from ..over_seeds import Curve, spread
from ..pieces import Section, breakable, figure, legend, listing, missing, note, pair, plus_minus, table
from .learning import ends_of

TITLE = 'Accuracy over time steps'


def over_time(comparison: Comparison, tested: Union[Tested, Missing], exits: Union[Exits, Missing, None]
              ) -> Optional[Section]:
    """Accuracy after 1 to T steps, and a table of early exits."""
    if isinstance(tested, Missing):
        return missing('over-time', TITLE, tested)
    curves = _curves(comparison, tested)
    if not curves:
        return None
    looks = looks_of([group.name for group in comparison.groups])
    drawn = {name: curve for name, curve in curves.items() if name in [group.name for group in comparison.drawn]}
    teacher = tested.teacher_of(comparison.focus)
    alt = f'Line chart of test accuracy after each time step for {listing(list(drawn))}. {ends_of(drawn)}'
    chart = svg(lambda ax: draw_over_time(ax, drawn, looks, teacher and teacher.accuracy), 'over-time', alt)
    caption = 'Mean over seeds, with a band of one standard deviation.'
    return Section('over-time', TITLE,
                   'A spiking network answers after every step; the prediction is that of the mean logits so far. '
                   'Where the line is flat, fewer steps would do.',
                   pair(figure(chart + legend(list(drawn), looks), caption), _steps_table(curves) + _exits(exits)))


def _curves(comparison: Comparison, tested: Tested) -> Dict[str, Curve]:
    curves = {}
    for group in comparison.groups:
        seeds = [answers.over_time.accuracy.numpy() for answers in tested.of(group).values()]
        if seeds and len(seeds[0]) > 1:
            curves[group.name] = Curve(np.arange(1, len(seeds[0]) + 1), np.stack(seeds))
    return curves


def _steps_table(curves: Dict[str, Curve], limit: int = 6) -> str:
    """Accuracies after some of the steps."""
    longest = int(max(curve.x[-1] for curve in curves.values()))
    steps = np.unique(np.linspace(1, longest, min(longest, limit)).round().astype(int)).tolist()
    rows = [[breakable(name), *(f'{curve.mean[step - 1]:.2f}' if step <= len(curve.x) else '–' for step in steps)]
            for name, curve in curves.items()]
    heads = [f'T\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{step}' for step in steps]
    return table(['Method', *heads], rows, 'Test accuracy in %, mean over seeds.')


def _exits(exits: Union[Exits, Missing, None]) -> str:
    if exits is None or isinstance(exits, Exits) and not exits.runs:
        return ''
    if isinstance(exits, Missing):
        return note(exits, 'Early exit could not be measured')
    rows = [_exit_row(name, list(seeds.values())) for name, seeds in exits.runs.items()]
    return ('<h3>Early exit</h3><p>A sample stops at the first step at which the network is sure enough. The '
            f'confidence that it takes is the lowest that loses at most {MAX_DROP:g} points on {exits.chosen_on}.</p>' +
            table(['Method', 'Confidence', 'Steps on average', 'Accuracy, %', 'without exit, %'], rows,
                  'On the test data, mean ± standard deviation over seeds.'))


def _exit_row(name: str, seeds: List[Exit]) -> List[str]:
    def cell(values: List[float], digits: int = 2) -> str:
        return plus_minus(f'{statistics.mean(values):.{digits}f}', spread(values), digits)

    thresholds = [seed.calibrated.threshold for seed in seeds]
    sure = [threshold for threshold in thresholds if threshold <= 1]
    some = f' ({len(sure)} of {len(seeds)} seeds)' * (len(sure) < len(seeds))
    return [breakable(name), cell(sure, 3) + some if sure else 'never',
            cell([seed.calibrated.mean_steps for seed in seeds]), cell([seed.calibrated.accuracy for seed in seeds]),
            cell([seed.all_steps for seed in seeds])]
