"""The BKDSNN authors' student and losses, from a checkout of their repository, with the teacher of the benchmarks.

What has to be mended in their code is mended here, from outside; ``bench_authors.py`` lists it.
"""
import importlib.util
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, List

import torch
import torch.nn.functional as F
from networks import NETWORKS, spikingjelly
from torch import Tensor, nn

from bkdsnn.checkpoints.official.keys import SEW_RESNET, SPIKINGFORMER, Rules
from bkdsnn.models.distillers.recorder import FeatureRecorder

URL = 'https://github.com/Intelligent-Computing-Research-Group/BKDSNN'
Teach = Callable[[Tensor], Dict[str, Tensor]]


@dataclass
class Recipe:
    """What the authors train, and where it is in their repository.

    Attributes:
        network: The same student in ``NETWORKS``.
        student: File that defines it.
        build: What builds it there.
        arguments: For ``build``, besides T.
        losses: File of the losses.
        last: Path of the map that is distilled.
        alpha: Weight of the BKD loss.
        rules: What its weights are called here.
    """

    network: str
    student: str
    build: str
    arguments: dict
    losses: str
    last: str
    alpha: float
    rules: Rules


RECIPES = {
    'spikingformer': Recipe(
        'spikingformer-4-384', 'Spikingformer-CML/cifar10/model.py', 'Spikingformer',
        dict(img_size_h=32, img_size_w=32, patch_size=4, embed_dims=384, num_heads=12, mlp_ratios=4, in_channels=3,
             num_classes=10, qkv_bias=False, depths=4, sr_ratios=1, drop_path_rate=0.2),
        'Spikingformer-CML/cifar100/loss.py', 'block.3', 2e-3, SPIKINGFORMER),
    'sew-resnet': Recipe(
        'sew-resnet18', 'Spike-Element-Wise-ResNet/imagenet/sew_resnet.py', 'sew_resnet18', dict(connect_f='ADD'),
        'Spike-Element-Wise-ResNet/cifar10dvs/loss.py', 'layer4', 7e-5, SEW_RESNET),
}


def old_spikingjelly() -> Dict[str, object]:
    """What the authors import of spikingjelly 0.0.0.0.4 and 0.0.0.0.12, made of 2.0.0's, by the modules' old names."""
    sj = spikingjelly()

    def node(kind: type, surrogate: type, alpha: float, backend: str = 'torch', **arguments) -> nn.Module:
        return kind(step_mode='m', surrogate_function=surrogate(alpha=alpha), **arguments)

    integrate = SimpleNamespace(MultiStepIFNode=partial(node, sj.neuron.IFNode, sj.surrogate.ATan, 2.0))
    leaky = SimpleNamespace(MultiStepLIFNode=partial(node, sj.neuron.LIFNode, sj.surrogate.Sigmoid, 4.0),
                            MultiStepParametricLIFNode=None)  # which they import and never use
    old = SimpleNamespace(layer=sj.layer, functional=sj.functional, neuron=leaky)
    return {'spikingjelly.clock_driven': old, 'spikingjelly.clock_driven.neuron': leaky,
            'spikingjelly.cext': SimpleNamespace(neuron=integrate)}


def load(repo: Path, file: str, *names: str) -> List[Callable]:
    """What has these names in a module of the authors; an error if there is no such thing."""
    name = f'bkdsnn_authors_{Path(file).stem}'
    spec = importlib.util.spec_from_file_location(name, repo / file)
    module = importlib.util.module_from_spec(spec)
    lent = {**old_spikingjelly(), name: module}
    sys.modules.update(lent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # timm has moved what they import
            spec.loader.exec_module(module)
        return [getattr(module, wanted) for wanted in names]
    except Exception as error:
        raise SystemExit(f'{repo / file} is not as the authors published it, or needs what is not installed: '
                         f'{type(error).__name__}: {error}') from error
    finally:
        for key in lent:
            del sys.modules[key]


class Authors(nn.Module):
    """The authors' student and losses, run as in their training scripts.

    Args:
        recipe: What to build.
        repo: Their repository.
        time_steps: T.
    """

    def __init__(self, recipe: Recipe, repo: Path, time_steps: int) -> None:
        super().__init__()
        for file in (recipe.student, recipe.losses):
            if not (repo / file).is_file():
                raise SystemExit(f"--repo {repo} is no checkout of the authors' repository, as it has no {file}: "
                                 f'git clone {URL}')
        build, = load(repo, recipe.student, recipe.build)
        brd, self.wsld = load(repo, recipe.losses, 'BRDLoss', 'get_logits_loss')
        channels = NETWORKS[recipe.network].channels  # and the teacher's
        self.student = build(T=time_steps, **recipe.arguments)
        self.bkd = brd(channels, channels, recipe.alpha, 0.15, use_clip=False)
        self.last, (_, *self.taps) = recipe.last, NETWORKS[recipe.network].teacher

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        logits = self.student(x)
        spikingjelly().functional.reset_net(self.student)
        return logits

    def losses(self, x: Tensor, labels: Tensor, teach: Teach) -> Dict[str, Tensor]:
        """All that are summed, by the names that they have here."""
        with FeatureRecorder(self.student, [self.last], "the authors' student") as recorder:
            logits = self(x)
        taught, classes = teach(x), logits.shape[1]
        feature, answer = (taught[tap] for tap in self.taps)
        return dict(
            loss_cls=F.cross_entropy(logits, labels), loss_bkd=self.bkd(recorder.features[self.last].mean(0), feature),
            loss_wsld=self.wsld(answer, logits, F.one_hot(labels, classes).to(logits), 2.0, classes))


def teacher_of(network: nn.Module, paths: List[str], size: int) -> Teach:
    """A teacher that runs as the authors' do, and gives what is at the paths."""
    @torch.no_grad()
    def teach(x: Tensor) -> Dict[str, Tensor]:
        if x.shape[-1] != size:
            x = F.interpolate(x, (size, size), mode='bicubic')
        with FeatureRecorder(network, paths, "the authors' teacher") as recorder:
            network(x)
        return recorder.features
    return teach
