"""What networks answer on a data set, and where they go wrong."""
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, Hashable, Iterable, List, Mapping, Tuple

import torch
from mmpretrain.evaluation import ConfusionMatrix
from torch import Tensor

from ..evaluation import OverTime, accuracy_over_time, running_scores


@dataclass
class Answers:
    """Of one network on a data set.

    Attributes:
        logits: Of each time step, (T, N, K); of an ANN (1, N, K).
        labels: (N, ).
    """

    logits: Tensor
    labels: Tensor

    @cached_property
    def scores(self) -> Tensor:
        """Class probabilities (T, N, K) after each step."""
        return running_scores(self.logits)

    @cached_property
    def over_time(self) -> OverTime:
        """Accuracy after each step."""
        return accuracy_over_time(self.scores, self.labels)

    @property
    def classes_known(self) -> int:
        """Number of classes K."""
        return self.logits.shape[-1]

    @property
    def accuracy(self) -> float:
        """Accuracy of the prediction in percent."""
        return self.over_time.accuracy[-1].item()

    @property
    def classes(self) -> Tensor:
        """Predicted class indices (N, )."""
        return self.scores[-1].argmax(-1)

    @property
    def right(self) -> Tensor:
        """Which samples are predicted correctly, (N, )."""
        return self.classes == self.labels

    @property
    def confidence(self) -> Tensor:
        """Probability of the predicted class, (N, )."""
        return self.scores[-1].amax(-1)

    @property
    def confusion(self) -> Tensor:
        """Number of samples (K, K) by true class (rows) and predicted class."""
        return ConfusionMatrix.calculate(self.classes, self.labels, num_classes=self.classes_known)


def collect_answers(networks: Mapping[Hashable, Callable[[dict], Tensor]],
                    batches: Iterable[dict]) -> Dict[Hashable, Answers]:
    """Ask networks about every sample, in one pass over the data.

    Args:
        networks: By any key, what gives logits (T, B, K) for a batch of the data loader.
        batches: From a data loader; samples need labels.
    """
    logits: Dict[Hashable, List[Tensor]] = {key: [] for key in networks}
    labels: List[Tensor] = []
    for data in batches:
        labels.append(torch.cat([sample.gt_label for sample in data['data_samples']]))
        for key, network in networks.items():
            logits[key].append(network(data).float().cpu())
    return {key: Answers(torch.cat(parts, 1), torch.cat(labels)) for key, parts in logits.items()}


def confused_pairs(confusion: Tensor, limit: int) -> List[Tuple[int, int, int]]:
    """The most frequent mistakes as (true class, predicted class, samples), most frequent first.

    Args:
        confusion: Number of samples (K, K) by true class (rows) and predicted class.
        limit: At most so many.
    """
    mistakes = confusion.clone()
    mistakes.fill_diagonal_(0)
    counts, places = mistakes.flatten().sort(descending=True, stable=True)
    size = len(confusion)
    return [(place // size, place % size, count) for count, place in list(zip(counts.tolist(), places.tolist()))[:limit]
            if count]


def lost_samples(student: Answers, teacher: Answers, limit: int) -> List[int]:
    """Samples that the student gets wrong and the teacher right, those first of which the teacher is surest.

    Args:
        student: Answers of the student.
        teacher: Of the teacher on the same samples.
        limit: At most so many.
    """
    lost = (~student.right & teacher.right).nonzero().flatten()
    order = teacher.confidence[lost].argsort(descending=True, stable=True)
    return lost[order][:limit].tolist()


def agreement(student: Answers, teacher: Answers) -> Dict[str, int]:
    """How many samples both, one of the two, or none get right."""
    s, t = student.right, teacher.right
    return {'both': int((s & t).sum()), 'student': int((s & ~t).sum()), 'teacher': int((~s & t).sum()),
            'neither': int((~s & ~t).sum())}
