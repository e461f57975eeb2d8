"""The networks that a config names: model, student, teachers, each with what stands elsewhere in it."""
import copy
from typing import List, Optional

from mmengine.config import Config


def model_config(cfg: Config) -> dict:
    """A copy of ``cfg.model`` with the config's own data preprocessor where it has none, as mmengine's runner does."""
    model = copy.deepcopy(cfg.model)
    if model.get('data_preprocessor') is None and cfg.get('data_preprocessor') is not None:
        model['data_preprocessor'] = copy.deepcopy(cfg.data_preprocessor)
    return model


def student_config(model: dict) -> dict:
    """The student's config in a model config; a model config without a teacher is returned as it is."""
    return with_preprocessor(model['student'], model.get('data_preprocessor')) if 'student' in model else model


def teacher_configs(teacher: dict) -> List[dict]:
    """Configs of the single teachers in ``model.teacher``, which may be an ensemble."""
    return list(teacher['teachers'].values()) if 'teachers' in teacher else [teacher]


def with_preprocessor(student: dict, data_preprocessor: Optional[dict]) -> dict:
    """A copy of the student's config with the data preprocessor that stands above it.

    Raises:
        ValueError: If both are given and differ.
    """
    own = student.get('data_preprocessor')
    if own is not None and data_preprocessor is not None and dict(own) != dict(data_preprocessor):
        raise ValueError(f'two data preprocessors are given and differ: model.student.data_preprocessor={dict(own)} '
                         f'and model.data_preprocessor={dict(data_preprocessor)} (or the config\'s own). Drop one.')
    chosen = data_preprocessor if own is None else own
    student = {key: value for key, value in student.items() if key != 'data_preprocessor'}
    # Without the key, mmengine's runner fills in the config's own; with None it would not.
    return student if chosen is None else dict(student, data_preprocessor=chosen)
