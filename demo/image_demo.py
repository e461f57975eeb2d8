"""Classify images: ``python demo/image_demo.py [IMAGE_OR_FOLDER] [MODEL]``.

Without arguments, the package's own student classifies the digits in ``demo/samples``.
"""
import argparse
import sys
from pathlib import Path

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.demo import add_demo_arguments, predict_and_print

SAMPLES = Path(__file__).parent / 'samples' / 'digits'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', nargs='?', default=str(SAMPLES), help='image or folder of images; default: samples')
    add_demo_arguments(parser, 'demo/mixed')
    return parser.parse_args()


def main() -> None:
    sys.exit(not predict_and_print(parse_args()))


if __name__ == '__main__':
    with fail_clearly():
        main()
