"""Running a spiking network, at once or until it is sure."""
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..evaluation.spike_counter import SpikeCounter
from ..models import Stream


def run_at_once(model: nn.Module, inputs: Tensor, T: Optional[int] = None) -> Tuple[List[Tensor], Tensor]:
    """All time steps in one pass.

    Args:
        model: A :class:`bkdsnn.models.SpikingClassifier` in eval mode.
        inputs: Preprocessed images (B, C, H, W) or frames (B, T, P, H, W).
        T: Time steps that images are shown for; ``None`` takes those of the network.

    Returns:
        Logits (T, K) of each sample, and the number of spikes of each, (B, ).
    """
    if T is not None and inputs.dim() == 4:
        inputs = inputs.unsqueeze(1).expand(-1, T, -1, -1, -1)
    with SpikeCounter(model) as counter:
        logits = model(inputs)
        return list(logits.unbind(1)), counter.take()


def run_until_sure(model: nn.Module, inputs: Tensor, T: int, threshold: float) -> Tuple[List[Tensor], Tensor]:
    """One time step after the other; a sample whose highest probability reaches the threshold leaves the batch.

    Args:
        model: As in :func:`run_at_once`.
        inputs: Likewise.
        T: Time steps that images are shown for at most; of frames, as many as there are.
        threshold: For the softmax of the mean logits so far, as in :func:`bkdsnn.evaluation.exit_steps`.

    Returns:
        Logits (steps, K) of each sample for the steps it took, and the number of spikes of each, (B, ).
    """
    T = inputs.shape[1] if inputs.dim() == 5 else T
    stream, number, logits = Stream(model), len(inputs), []
    running = torch.arange(number, device=inputs.device)
    steps, spikes, total = torch.full_like(running, T), torch.zeros_like(running), 0
    with SpikeCounter(model) as counter:
        for t in range(T):
            new = stream.step(inputs[running, t] if inputs.dim() == 5 else inputs[running])
            logits.append(new.new_zeros(number, new.shape[1]).index_copy(0, running, new))
            spikes[running] += counter.take()
            total = total + new
            sure = (total / (t + 1)).softmax(-1).amax(-1) >= threshold
            steps[running[sure]] = t + 1
            running, total = running[~sure], total[~sure]
            if not len(running):
                break
            stream.keep(~sure)
    logits = torch.stack(logits)
    return [logits[:taken, i] for i, taken in enumerate(steps.tolist())], spikes
