"""Accuracy after each time step, in the validation loop."""
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric

from bkdsnn.registry import METRICS

from .over_time import accuracy_over_time, running_scores, stack_steps


@METRICS.register_module()
class AccuracyOverTime(BaseMetric):
    """What a spiking network would answer after 1 to T time steps, from one pass.

    Logs ``accuracy/step1`` to ``accuracy/step<T>``, the top-1 accuracy in percent, of which the last is that of
    ``mmpretrain.Accuracy``; and ``accuracy/agreement1`` to ``accuracy/agreement<T-1>``, the share of samples in percent
    that get the answer of the last step.

    Args:
        **kwargs: As in mmengine.

    Raises:
        ValueError: If the predictions hold no logits of single steps, as an ANN's, or differ in T.
    """

    default_prefix = 'accuracy'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        self.results += [(sample.get('step_logits'), sample['gt_label'].cpu()) for sample in data_samples]

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        logits, labels = zip(*results)
        found = accuracy_over_time(running_scores(stack_steps(logits)), torch.cat(labels))
        agreement = found.agreement[-1, :-1].tolist()
        return {**{f'step{t}': value for t, value in enumerate(found.accuracy.tolist(), 1)},
                **{f'agreement{t}': value for t, value in enumerate(agreement, 1)}}
