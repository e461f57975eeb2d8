"""One page about a comparison: ``python tools/analysis_tools/report.py work_dirs/demo``."""
import argparse

from mmengine.logging import MMLogger

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.visualization.report import write_report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='holds summary.json, teacher/ and <method>/seed<k>/')
    parser.add_argument('--out', help='path of the page (default: report.html in the folder)')
    parser.add_argument('--picture', help='also write the main figures as one PNG')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    print(f'Wrote {write_report(args.folder, args.out, args.picture)}')


if __name__ == '__main__':
    with fail_clearly():
        main()
