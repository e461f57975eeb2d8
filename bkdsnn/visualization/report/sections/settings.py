"""In which settings the runs differ."""
from html import escape

from ..config_diff import differences, settings_of
from ..groups import Comparison
from ..html import breakable, listing, section, stacked_table


def settings(comparison: Comparison) -> str:
    """Table of the settings that differ."""
    groups = [group for group in comparison.groups if group.runs]
    if len(groups) < 2:
        return ''
    configs = [settings_of(group.runs[0].config) for group in groups]
    for config, group in zip(configs, groups):
        config['randomness'] = dict(config.get('randomness', {}), seed=[run.seed for run in group.runs])
    names = [group.name for group in groups]
    rows = [[f'<code>{breakable(key)}</code>', *map(escape, values)] for key, values in differences(configs).items()]
    body = stacked_table(['Setting', *map(breakable, names)], rows) if rows else '<p>None.</p>'
    return section('settings', 'What differs in the settings',
                   f'Settings that are not the same in {listing(names)}; all others are. A distilled student '
                   'is listed as a student without a teacher is, and – stands for a setting that a config lacks.', body)
