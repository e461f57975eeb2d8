"""In which settings the runs differ."""
from html import escape
from typing import Dict, List, Optional

from ...config.differences import differences
from ..config_diff import settings_of
from ..groups import Comparison
from ..pieces import Section, breakable, listing, stacked_table

# More values do not fit side by side.
COLUMNS = 3


def settings(comparison: Comparison) -> Optional[Section]:
    """Table of the settings that differ."""
    groups = [group for group in comparison.groups if group.runs]
    if len(groups) < 2:
        return None
    configs = [settings_of(group.runs[0].config) for group in groups]
    for config, group in zip(configs, groups):
        config['randomness'] = dict(config.get('randomness', {}), seed=[run.seed for run in group.runs])
    names = [group.name for group in groups]
    found = differences(configs)
    body = (_side_by_side if len(names) <= COLUMNS else _by_value)(names, found) if found else '<p>None.</p>'
    return Section('settings', 'What differs in the settings',
                   f'Settings that are not the same in {listing(names)}; all others are. A distilled student '
                   'is listed as a student without a teacher is, and – stands for a setting that a config lacks.', body)


def _side_by_side(names: List[str], found: Dict[str, List[str]]) -> str:
    rows = [[f'<code>{breakable(key)}</code>', *map(escape, values)] for key, values in found.items()]
    return stacked_table(['Setting', *map(breakable, names)], rows)


def _by_value(names: List[str], found: Dict[str, List[str]]) -> str:
    """Each value once, with all that have it."""
    rows = []
    for key, values in found.items():
        owners = {value: [name for name, own in zip(names, values) if own == value] for value in values}
        lines = [f'<p><span class="soft">{listing(having)}:</span> {escape(value)}</p>'
                 for value, having in owners.items()]
        rows.append([f'<code>{breakable(key)}</code>', ''.join(lines)])
    return stacked_table(['Setting', ''], rows)
