"""Put the weights of runs into the model zoo: ``python tools/model_converters/publish_to_zoo.py NAME=RUN ...``.

For each, the student is published beside its config, in ``configs/<folder>/weights``, tested on the test split, and
named in ``metafile.yml`` with its accuracy; what was published under the name before is removed. From then on
``get_model(NAME, pretrained=True)`` finds it.
"""
import argparse
from pathlib import Path

import yaml
from mmengine.config import Config
from mmengine.logging import MMLogger
from publish_model import SUFFIXES, config_in, write_published

from bkdsnn.apis import config_root, init_model, student_config
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.checkpoints.files import load_file, resolve
from bkdsnn.config.files import read_config_file
from bkdsnn.config.networks import model_config
from bkdsnn.utils.atomic import write_atomically

TRAINED = 'Top 1 Accuracy, trained here'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('models', nargs='+', metavar='NAME=RUN',
                        help='name as in list_models(), and the work directory or checkpoint of its run')
    parser.add_argument('--format', choices=[suffix[1:] for suffix in SUFFIXES], default=SUFFIXES[0][1:],
                        help='of the files (pth)')
    return parser.parse_args()


def publish_to_zoo(name: str, run: str, suffix: str = SUFFIXES[0]) -> str:
    """Publish one run as a file with a suffix of ``SUFFIXES``; returns a line that says what was done.

    Raises:
        ValueError: If there is no entry for the name, or the run trained another network than the config says.
    """
    config = config_root() / f'{name}.py'
    metafile = config.with_name('metafile.yml')
    meta = yaml.safe_load(metafile.read_text()) if metafile.is_file() else dict(Models=[])
    entries = [entry for entry in meta['Models'] if Path(entry['Config']).name == config.name]
    if not entries:
        raise ValueError(f'{metafile} has no entry for {name}; write one first, as those of its neighbours.')
    cfg, checkpoint = read_config_file(config), load_file(resolve(run))
    trained, wanted = (Config(dict(model=student_config(model_config(found)))).pretty_text
                       for found in (config_in(checkpoint, run), cfg))
    if trained != wanted:
        raise ValueError(f'{run} trained another network than {config}; publish it with publish_model.py instead.')
    folder = config.parent / 'weights'
    folder.mkdir(exist_ok=True)
    path = Path(write_published(checkpoint, cfg, str(folder / f'{config.stem}{suffix}')))
    accuracy = round(evaluate(init_model(str(config), str(path))), 2)
    entries[0]['Weights'] = path.relative_to(config_root().parent).as_posix()
    entries[0]['Results'][0]['Metrics'][TRAINED] = accuracy
    text = yaml.safe_dump(meta, sort_keys=False, width=120, default_flow_style=None)
    write_atomically(metafile, lambda file: file.write(text.encode()))
    for old in folder.glob(f'{config.stem}-????????.*'):
        if old != path and old.suffix in SUFFIXES:
            old.unlink()
    return f'{entries[0]["Weights"]}: {accuracy:.2f} %, {path.stat().st_size / 1e6:.2f} MB'


def main() -> None:
    args = parse_args()
    pairs = [text.partition('=') for text in args.models]
    wrong = [''.join(pair) for pair in pairs if not pair[2]]
    if wrong:
        raise ValueError(f'{wrong[0]!r} must be NAME=RUN, such as demo/mixed=work_dirs/demo/mixed/seed0.')
    MMLogger.get_instance('mmengine', log_level='ERROR')
    for name, _, run in pairs:
        print(publish_to_zoo(name, run, f'.{args.format}'), flush=True)


if __name__ == '__main__':
    with fail_clearly():
        main()
