"""Train configs with several seeds: ``python tools/train_seeds.py CONFIG [CONFIG ...] --seeds 5``."""
import argparse

from bkdsnn.apis.cli import fail_clearly, positive
from bkdsnn.apis.launch import Training, run_all
from bkdsnn.config.files import read_config_file
from bkdsnn.runs.folders import default_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='train config file paths')
    parser.add_argument('--seeds', type=positive, default=5, help='how many seeds; run k goes to <work_dir>/seed<k>')
    parser.add_argument('--single', action='store_true', help='one run per config, in <work_dir> itself')
    parser.add_argument('--jobs', type=positive, default=2, help='how many runs at a time')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    work_dirs = {config: read_config_file(config).get('work_dir') or default_work_dir(config)
                 for config in args.configs}
    if args.single:
        trainings = [Training(config, work_dirs[config], {}) for config in args.configs]
    else:
        trainings = [Training(config, f'{work_dirs[config]}/seed{seed}', {'randomness.seed': seed})
                     for seed in range(args.seeds) for config in args.configs]
    run_all(trainings, args.jobs, 'Training')


if __name__ == '__main__':
    with fail_clearly('The same command goes on with it.'):
        main()
