"""Bring the model zoo's figures up to date: ``python tools/analysis_tools/model_zoo.py [FOLDER ...]``.

For each folder of configs, counts parameters and multiply-accumulates of the entries of ``metafile.yml`` and writes the
table of ``README.md`` from them. Accuracies stay as they are written in the metafile.
"""
import argparse
from pathlib import Path
from typing import List

import yaml

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.model import config_root
from bkdsnn.config.files import read_config_file
from bkdsnn.evaluation import measure_complexity

REPORTED, TRAINED = 'Top 1 Accuracy, reported by the authors', 'Top 1 Accuracy, trained here'
MARKERS = '<!-- table of metafile.yml -->', '<!-- end of table -->'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folders', nargs='*', help='folders with a metafile.yml; default: all of configs')
    parser.add_argument('--check', action='store_true', help='change nothing; fail where a file is not up to date')
    return parser.parse_args()


def count(entry: dict, root: Path) -> None:
    """Fill in parameters and multiply-accumulates of one entry."""
    data = entry['Metadata']
    found = measure_complexity(read_config_file(root / entry['Config']), data['Input Shape'])
    data['Parameters'], data['MACs'] = found.parameters, found.macs


def table(entries: List[dict]) -> str:
    """Markdown table of a folder's entries."""
    rows = ['| config | data | parameters | GMACs | teacher | reported by the authors | trained here |',
            '|---|---|---:|---:|---|---:|---:|']
    for entry in entries:
        data, result = entry['Metadata'], entry['Results'][0]
        reported, trained = (result['Metrics'][key] for key in (REPORTED, TRAINED))
        if reported is not None:
            reported = f'[{reported:.2f}]({entry["Paper"]["URL"]})'
        if trained is not None:
            trained = f'{trained:.2f}'
            if weights := entry.get('Weights'):
                trained = f'[{trained}]({weights.removeprefix(str(Path(entry["Config"]).parent) + "/")})'
        giga = data['MACs'] / 1e9
        rows.append('| ' + ' | '.join((
            f'[{entry["Name"]}]({Path(entry["Config"]).name})', result['Dataset'], f'{data["Parameters"] / 1e6:.2f} M',
            f'{giga:.2f}' if giga >= 0.1 else f'{giga:.4f}', data.get('Teacher', ''), reported or '',
            trained or '')) + ' |')
    return '\n'.join(rows)


def bring_up_to_date(folder: Path, check: bool) -> List[str]:
    """Rewrite metafile and README of a folder; returns the files that were not up to date."""
    metafile, readme = folder / 'metafile.yml', folder / 'README.md'
    meta = yaml.safe_load(metafile.read_text())
    for entry in meta['Models']:
        count(entry, config_root().parent)
    text = readme.read_text()
    before, _, rest = text.partition(MARKERS[0])
    if MARKERS[1] not in rest:
        raise ValueError(f'{readme} has no place for the table: {MARKERS[0]} and {MARKERS[1]} on lines of their own.')
    after = rest.partition(MARKERS[1])[2]
    new = {metafile: yaml.safe_dump(meta, sort_keys=False, width=120, default_flow_style=None),
           readme: f'{before}{MARKERS[0]}\n{table(meta["Models"])}\n{MARKERS[1]}{after}'}
    stale = [path for path, content in new.items() if path.read_text() != content]
    if not check:
        for path in stale:
            path.write_text(new[path])
    return [str(path) for path in stale]


def main() -> None:
    args = parse_args()
    folders = [Path(folder) for folder in args.folders] or sorted(
        path.parent for path in config_root().glob('*/metafile.yml') if path.with_name('README.md').is_file())
    stale = [path for folder in folders for path in bring_up_to_date(folder, args.check)]
    if args.check and stale:
        raise ValueError(f'not up to date: {", ".join(stale)}. Run python tools/analysis_tools/model_zoo.py')
    print('\n'.join(f'Wrote {path}' for path in stale) or 'All up to date.')


if __name__ == '__main__':
    with fail_clearly():
        main()
