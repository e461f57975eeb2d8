"""What the export tools share: arguments, the student, and a file that is checked before it is written."""
import argparse
from dataclasses import dataclass
from typing import Callable, Tuple

import torch
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from torch import nn

from ..apis import init_model
from ..apis.cli import file_to_write, read_config
from ..evaluation import input_shape_of
from ..utils.atomic import write_atomically
from ..utils.colours import gives_rgb, learn_channel_order
from .check import Runner, check
from .deployed import Deployed
from .samples import check_inputs, read_test_inputs


@dataclass(frozen=True)
class Student:
    """A student to export.

    Attributes:
        model: With its ``cfg``.
        deployed: As it is exported.
        shape: Of one sample, (C, H, W) or (T, P, H, W).
    """

    model: nn.Module
    deployed: Deployed
    shape: Tuple[int, ...]

    def describe_input(self) -> str:
        """The input in words."""
        size = 'x'.join(map(str, self.shape))
        preprocessor = self.model.data_preprocessor
        if isinstance(self.deployed.preprocessing, nn.Identity):
            return f'{size}, preprocessed'
        if len(self.shape) == 4:
            return f'{size}, frames of event counts'
        if getattr(preprocessor, 'mean', None) is None:
            return size
        colours = (', RGB' if gives_rgb(preprocessor) else ', BGR') if self.shape[0] == 3 else ''
        return f'{size}, pixels from 0 to 255{colours}'


def add_export_arguments(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Arguments of all export tools; ``suffix`` is that of their files."""
    parser.set_defaults(batch_size=None)
    parser.add_argument('config', help='config file path; of a distillation config the student is exported')
    parser.add_argument('checkpoint', help='checkpoint file, URL, or the work directory of a run (its latest is taken)')
    parser.add_argument('--out', type=file_to_write, required=True, help=f'file to write ({suffix})')
    parser.add_argument('--shape', type=int, nargs='+',
                        help='of one sample: C H W of an image or T P H W of event frames; default: as the config says')
    parser.add_argument('--no-normalise', action='store_true',
                        help='leave mean, standard deviation and averaging of frames to the caller')
    parser.add_argument('--num-samples', type=int, default=4,
                        help='how many samples of the test data to check it on (4)')
    parser.add_argument('--no-check', action='store_true', help='do not run the exported network')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='settings to override, as model.backbone.T=6')


def load_student(args: argparse.Namespace) -> Student:
    """Build the student with its weights.

    Raises:
        ValueError: If an argument is out of range, the checkpoint does not fit, or nothing says the shape of a sample.
        FileNotFoundError: If a file is missing.
    """
    if args.num_samples < 1:
        raise ValueError(f'--num-samples {args.num_samples} must be at least 1.')
    MMLogger.get_instance('mmengine', log_level='WARNING')
    cfg = read_config(args)
    model = init_model(cfg, args.checkpoint)
    learn_channel_order(model.data_preprocessor, cfg)
    shape = tuple(args.shape or input_shape_of(cfg) or read_test_inputs(model, 1).shape[1:])
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(f'--shape {" ".join(map(str, shape))} must be C H W of an image, or T P H W of event frames.')
    deployed = Deployed(model, not args.no_normalise)
    try:
        deployed.logits(torch.zeros(1, *shape))
    except RuntimeError as error:
        raise ValueError(f'the student does not take samples of {"x".join(map(str, shape))} (--shape): '
                         f'{str(error).splitlines()[0]}') from error
    return Student(model, deployed, shape)


def check_and_write(args: argparse.Namespace, student: Student, content: bytes, runner: Callable[[], Runner]) -> None:
    """Check the content of a file, then write it whole, and say both.

    Args:
        args: Of the tool.
        student: What was exported.
        content: Of the file.
        runner: Makes the network in it run.

    Raises:
        DiffersError: If it does not do what the student does; nothing is written then.
    """
    result = None
    if not args.no_check:
        number = args.batch_size or args.num_samples  # a fixed batch takes no other
        inputs, source = check_inputs(student.model, student.shape, number, not args.no_normalise)
        result = f'Checked on {len(inputs)} samples {source}: {check(student.deployed, runner(), inputs)}.'
    write_atomically(args.out, lambda file: file.write(content))
    print(f'Wrote {args.out}: {len(content) / 1e6:.2f} MB, input {student.describe_input()}')
    print(result or 'Not checked.')
