"""What every task says of itself."""
from abc import ABC, abstractmethod
from typing import List, Optional

from mmpretrain.structures import DataSample
from torch import Tensor, nn


class Task(ABC):
    """All that a distiller and the teacher's check know of a task.

    A task is a subclass, named by ``model.task``. Its students are classifiers with a head of their own, which has
    ``loss`` and ``predict`` as mmpretrain's heads do.

    Attributes:
        metric: Config of the metric that a teacher is checked by.
        accuracy: Key of its result that ``teacher.expected_accuracy`` is about, in percent.
    """

    metric: dict
    accuracy: str

    @abstractmethod
    def targets(self, data_samples: List[DataSample]) -> Tensor:
        """What losses get as ``target`` of a batch."""

    @abstractmethod
    def check_output(self, output: Tensor) -> None:
        """Check what the student gives for one sample.

        Raises:
            ValueError: If it is not what heads for this task give; see :meth:`misfit`.
        """

    @abstractmethod
    def example(self, output: Tensor) -> DataSample:
        """A sample whose target fits such an output, on which losses are tried when a model is built."""

    @abstractmethod
    def answers(self, output: Tensor, data_samples: List[DataSample], metainfo: dict) -> Optional[List[dict]]:
        """What the metric wants to know of a teacher's answers.

        Args:
            output: Of the teacher, (B, ...), averaged over time.
            data_samples: With their targets.
            metainfo: Of the data set, which may say its ``classes``.

        Returns:
            One dict for each sample; ``None`` if the teacher answers something else, as where only its features count.
        """

    def why_targets_are_soft(self, student: nn.Module) -> Optional[str]:
        """The config key that makes soft targets in training, or ``None``.

        Raises:
            ValueError: If samples are mixed in training and targets are not; a task whose targets are, overrides this.
        """
        if getattr(student.data_preprocessor, 'batch_augments', None):
            raise ValueError(f'{type(self).__name__}: {BATCH_AUGMENTS} mixes images and labels, but not the targets of '
                             'this task. Drop it.')
        return None

    def misfit(self, output: object, wanted: str) -> ValueError:
        """An error that says what the student should give, and what it gives for one sample."""
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        return ValueError(f'{type(self).__name__} takes a student that gives {wanted}, but for one sample it gives '
                          f'{shape}. Name the task that its head is made for in model.task.')


BATCH_AUGMENTS = 'model.student.train_cfg.augments (or data_preprocessor.batch_augments)'
