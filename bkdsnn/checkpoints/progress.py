"""How far a run is, as far as its checkpoints do not say: a small file in the work directory."""
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import List, Union

from ..utils.atomic import write_json

NAME = 'progress.json'


@dataclass
class Progress:
    """What a run has done in its work directory.

    Attributes:
        validated_steps: Steps that were done before the last validation that has ended, with its figures in the log and
            the best checkpoint saved. A kill during a validation leaves it at the one before.
        validated_epochs: Epochs likewise; 0 where training is not by epoch.
        others: Names of checkpoints in the folder that are of a run before it, which it has not replaced yet.
    """

    validated_steps: int = 0
    validated_epochs: int = 0
    others: List[str] = field(default_factory=list)

    @classmethod
    def of(cls, work_dir: Union[str, Path]) -> 'Progress':
        """That of a work directory; of one without, that nothing was validated and all checkpoints are its own."""
        path = Path(work_dir) / NAME
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path} cannot be read ({error}). Delete it; at worst a validation is done again.'
                             ) from error

    @classmethod
    def is_recorded(cls, work_dir: Union[str, Path]) -> bool:
        """Whether there is one; earlier versions wrote none."""
        return (Path(work_dir) / NAME).is_file()

    def save(self, work_dir: Union[str, Path]) -> None:
        """Write it, whole or not at all."""
        write_json(Path(work_dir) / NAME, asdict(self))
