"""One page about runs: ``python tools/analysis_tools/report.py work_dirs/demo``."""
import argparse

from mmengine.logging import MMLogger

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.report import write_report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', nargs='+', metavar='RUN',
                        help='work directory of a run, a folder above some, or a folder with a summary.json')
    parser.add_argument('--out', help='path of the page (default: report.html in the folder, or here for several)')
    parser.add_argument('--picture', help='also write the main figures as one PNG')
    parser.add_argument('--samples', type=int, default=10000, help='use at most so many samples of a data set (10000)')
    parser.add_argument('--device', help='where networks run (default: a GPU if there is one, else the CPU)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    path = write_report(*args.runs, out=args.out, picture=args.picture, samples=args.samples, device=args.device,
                        show_progress=True)
    print(f'Wrote {path}')


if __name__ == '__main__':
    with fail_clearly():
        main()
