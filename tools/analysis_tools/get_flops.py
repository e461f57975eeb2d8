"""Parameters and multiply-accumulates of a network: ``python tools/analysis_tools/get_flops.py CONFIG``.

Of a distillation config, those of the student. Nothing is trained, loaded or computed.
"""
import argparse

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.config.checks import MODEL, check_config
from bkdsnn.config.files import read_config_file
from bkdsnn.evaluation import input_shape_of, measure_complexity


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--shape', type=int, nargs='+',
                        help='of one sample: C H W of an image or T P H W of event frames; default: as the config says')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    check_config(cfg, MODEL)
    shape = tuple(args.shape or input_shape_of(cfg) or ())
    if len(shape) not in (3, 4):
        raise ValueError(f'{args.config} does not say the shape of a sample; give --shape C H W, or T P H W for event '
                         'frames.')
    result = measure_complexity(cfg, shape)
    print(f'Input: {"x".join(map(str, shape))}\nParameters: {result.parameters:,}\n'
          f'MACs, all time steps: {result.macs / 1e9:.3f} G\n'
          'Synaptic operations of a spiking layer are its MACs times the firing rate of its input.')


if __name__ == '__main__':
    with fail_clearly():
        main()
