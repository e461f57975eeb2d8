"""What each term of a distillation's loss asks of the student: size and direction of its gradient."""
from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence

import torch
from torch import Tensor, nn

from bkdsnn.models.distillers import Distiller

OWN_LOSS = 'loss_cls'


@dataclass(frozen=True)
class GradientShare:
    """The gradient of one loss term, with its weight, on the parameters that all terms share.

    Attributes:
        norm: Euclidean norm, mean over batches.
        share: Of the sum of all terms' norms, in [0, 1].
        cosine: With the gradient of the student's own loss, mean over batches: 1 pulls the same way, -1 against it,
            0 at a right angle; ``nan`` where one of the two is zero.
    """

    norm: float
    share: float
    cosine: float


def shared_parameters(student: nn.Module) -> List[nn.Parameter]:
    """The student's trainable parameters that losses on features reach too: those of its backbone, if it has one."""
    trunk = getattr(student, 'backbone', student)
    return [parameter for parameter in trunk.parameters() if parameter.requires_grad]


def loss_terms(losses: Dict[str, object]) -> Dict[str, Tensor]:
    """The summands of a loss as mmengine sums them: keys that contain ``loss``, lists added up, tensors averaged."""
    return {name: sum(part.mean() for part in value) if isinstance(value, (list, tuple)) else value.mean()
            for name, value in losses.items() if 'loss' in name}


def flat_gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradient of a scalar as one vector (P, ); zero where it does not reach. The graph is kept."""
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat([torch.zeros_like(parameter).flatten() if grad is None else grad.flatten()
                      for parameter, grad in zip(parameters, grads)])


def gradient_shares(distiller: Distiller, batches: Iterable[dict], seed: int = 0) -> Dict[str, GradientShare]:
    """Gradient of each loss term on the student's backbone, on a few batches in training mode.

    The weights stay as they are; the running statistics of batch norms move, as in training.

    Args:
        distiller: Student, teacher and losses.
        batches: From the training data loader, at least one.
        seed: Of blur masks and whatever else is drawn.

    Returns:
        By log key, the student's own loss first.

    Raises:
        ValueError: If there is no batch.
    """
    training, parameters = distiller.training, shared_parameters(distiller.student)
    norms, cosines = [], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for data in batches:
            losses = distiller.train()(**distiller.data_preprocessor(data, True), mode='loss')
            grads = {name: flat_gradient(loss, parameters) for name, loss in loss_terms(losses).items()}
            own = grads.get(OWN_LOSS, next(iter(grads.values())))
            norms.append(torch.stack([grad.norm() for grad in grads.values()]))
            cosines.append(torch.stack([_cosine(grad, own) for grad in grads.values()]))
    distiller.train(training)
    if not norms:
        raise ValueError('gradients are measured on at least one batch, got none.')
    norm, cosine = torch.stack(norms).mean(0), torch.stack(cosines).mean(0)
    return {name: GradientShare(n.item(), (n / norm.sum()).item(), c.item()) for name, n, c in zip(grads, norm, cosine)}


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return a @ b / (a.norm() * b.norm())
