"""A teacher that is built when it is first asked for."""
from typing import Callable, Optional, Union

from torch import Tensor, nn

from bkdsnn.registry import MODELS
from bkdsnn.utils.random_states import same_random_numbers


class LazyTeacher:
    """Holds a teacher, or the config of one.

    Copies share it, as they share the teacher.

    Args:
        teacher: Config or module.
        preprocessor: The student's, which the teacher adapts to.
    """

    def __init__(self, teacher: Union[dict, nn.Module], preprocessor: nn.Module) -> None:
        self.given, self.preprocessor = teacher, preprocessor
        self._built = None

    @property
    def is_built(self) -> bool:
        """Whether there is a network."""
        return self._built is not None

    @property
    def expected_accuracy(self) -> Optional[float]:
        """What its config says."""
        if isinstance(self.given, dict):
            return self.given.get('expected_accuracy')
        return getattr(self.given, 'expected_accuracy', None)

    def build(self) -> nn.Module:
        """The teacher; it is built if it is not."""
        if self._built is None:
            self._built = MODELS.build(self.given) if isinstance(self.given, dict) else self.given
            self._built.adapt_to(self.preprocessor)
        return self._built

    def get(self) -> nn.Module:
        """As :meth:`build`, but what else draws random numbers does not notice."""
        if self._built is None:
            with same_random_numbers():
                self.build()
        return self._built

    def adapt_to(self, preprocessor: nn.Module) -> None:
        """As of a teacher; one that is not built does so when it is."""
        self.preprocessor = preprocessor
        if self._built is not None:
            self._built.adapt_to(preprocessor)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> None:
        """As of a teacher, which otherwise follows its input."""
        if self._built is not None:
            self._built._apply(fn, recurse)

    def __deepcopy__(self, memo: dict) -> 'LazyTeacher':
        return self
