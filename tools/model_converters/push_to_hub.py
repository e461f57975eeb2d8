"""Put a trained network on Hugging Face's hub: ``python tools/model_converters/push_to_hub.py RUN OWNER/NAME``.

A commit with the student's weights as safetensors, its config and a model card; ``get_model('hf://OWNER/NAME')`` then
builds it. Before it is pushed, the network is built from these files, as others will build it. Nothing of RUN is
executed.
"""
import argparse
import json
import tempfile
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from publish_model import config_in, student_alone
from torch import nn

import bkdsnn
from bkdsnn.apis import init_model
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.checkpoints import hub
from bkdsnn.checkpoints.files import load_file, resolve, save_file
from bkdsnn.checkpoints.published import sha256
from bkdsnn.checkpoints.published_config import read_config
from bkdsnn.config.data import datasets_in
from bkdsnn.evaluation import input_shape_of, measure_complexity

HEAD = f'''---
library_name: {hub.TAG}
pipeline_tag: image-classification
tags:
- {hub.TAG}
- spiking-neural-network
- knowledge-distillation
---
'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', help='checkpoint of tools/train.py, its work directory, or a file of publish_model.py')
    parser.add_argument('repository', type=hub.check_repository, metavar='owner/name', help='made if there is none')
    parser.add_argument('--revision', help='branch to push to, made if there is none (the main one)')
    parser.add_argument('--private', action='store_true', help='make a new repository a private one')
    parser.add_argument('--message', default='Weights, config and model card', help='of the commit')
    parser.add_argument('--notes', type=Path, help='file with Markdown for the end of the model card')
    parser.add_argument('--evaluate', action='store_true',
                        help='measure the accuracy on the test split of the config, for the model card')
    return parser.parse_args()


def model_card(repository: str, model: nn.Module, trained: str, digest: str, notes: str) -> str:
    """The README of a repository; ``trained`` says how the network came about and what it can."""
    network, cfg = model.cfg.model.get('student', model.cfg.model), model.cfg
    backbone, neuron = network.backbone, network.backbone.get('neuron', {})
    shape = input_shape_of(cfg)
    arch = backbone.get('arch')
    if isinstance(arch, dict):
        arch = ', '.join(f'{key} {value}' for key, value in arch.items())
    facts = dict(
        backbone=f'{backbone.type}, {arch}', neuron=neuron.get('type'),
        time_steps=backbone.get('T'),
        classes=len(model.dataset_meta['classes']) if (model.dataset_meta or {}).get('classes') else None,
        input=shape and 'x'.join(map(str, shape)), parameters=f'{sum(p.numel() for p in model.parameters()):,}',
        MACs=shape and f'{measure_complexity(cfg, shape).macs:,}', SHA_256=f'`{digest}`')
    rows = '\n'.join(f'| {key.replace("_", " ")} | {value} |' for key, value in facts.items() if value is not None)
    return f'''{HEAD}
# {repository.partition('/')[2]}

A spiking neural network for image classification. {trained}

| | |
|---|---|
{rows}

```python
from bkdsnn import get_model

model = get_model('{hub.PREFIX}{repository}')
```

It needs bkdsnn and `pip install huggingface_hub`. The config is inside the weights; only components that `bkdsnn` has
registered are built from it, and nothing in the files is executed.

{notes}'''.rstrip() + '\n'


def history(cfg: Config) -> str:
    """Data, losses and teacher of a training config, in a sentence."""
    data = sorted({dataset.get('type', '?') for dataset in datasets_in(cfg.train_dataloader.dataset)}) \
        if cfg.get('train_dataloader') else []
    losses = [loss.type for loss in (cfg.model.get('losses') or {}).values() if loss]
    teacher = (cfg.model.get('teacher') or {}).get('model')
    said = f'Trained on {", ".join(data)}' if data else 'Trained'
    said += f' with {", ".join(losses)}' if losses else ''
    said += f', teacher {Path(teacher).stem}' if losses and isinstance(teacher, str) else ''
    return f'{said}, by bkdsnn {bkdsnn.__version__}.'


def push(run: str, repository: str, folder: Path, args: argparse.Namespace) -> str:
    """Write the files into a folder, build the network from them, and push them; returns the commit."""
    notes = args.notes.read_text(encoding='utf-8') if args.notes else ''
    checkpoint = load_file(resolve(run))
    trained = ''
    if 'config_json' not in checkpoint.get('meta', {}):
        cfg = config_in(checkpoint, run)
        checkpoint, trained = student_alone(checkpoint, cfg), history(cfg)
    # What is read of it, and so without the paths of this machine in the rest.
    config = read_config(checkpoint['meta']['config_json'], run).to_dict()
    weights = folder / hub.WEIGHTS
    save_file(dict(state_dict=checkpoint['state_dict'], meta=dict(checkpoint['meta'], config_json=json.dumps(config))),
              str(weights))
    model, digest = init_model(None, str(weights)), sha256(weights)
    if args.evaluate:
        trained = f'{trained} Test accuracy: {evaluate(model):.2f} %.'.strip()
    described = {hub.SUM_KEY: digest, 'bkdsnn_version': bkdsnn.__version__, 'config': config}
    return hub.push(repository, {
        hub.WEIGHTS: weights.read_bytes(), hub.CONFIG: (json.dumps(described, indent=2) + '\n').encode(),
        hub.CARD: model_card(repository, model, trained, digest, notes).encode(),
    }, args.message, args.private or None, args.revision)


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with tempfile.TemporaryDirectory() as folder:
        commit = push(args.run, args.repository, Path(folder), args)
    print(f"Pushed {commit}; get it with get_model('{hub.PREFIX}{args.repository}') or, whatever is pushed later, "
          f"get_model('{hub.PREFIX}{args.repository}@{commit}').")


if __name__ == '__main__':
    with fail_clearly():
        main()
