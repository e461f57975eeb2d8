"""The networks that a config names: model, student, teachers, each with what stands elsewhere in it."""
import copy
import os.path as osp
from typing import Dict, List, Optional

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


def network_alone(cfg: Config) -> Config:
    """A config of the network that is trained, at the keys it has in another one: of a distiller, the student's."""
    model = cfg.get('model')
    if isinstance(model, dict) and 'student' in model:
        kept = {key: model[key] for key in ('student', 'data_preprocessor') if model.get(key) is not None}
        model = dict(kept, type='Distiller')
    rest = {key: cfg[key] for key in ('data_preprocessor', 'default_scope') if cfg.get(key) is not None}
    return Config(dict(rest, model=model))


def teacher_configs(teacher: dict) -> List[dict]:
    """Configs of the single teachers in ``model.teacher``, which may be an ensemble."""
    return list(teachers_by_key(teacher).values())


def teachers_by_key(teacher: dict) -> Dict[str, dict]:
    """The same, by their keys in the whole config."""
    if 'teachers' not in teacher:
        return {'model.teacher': teacher}
    return {f'model.teacher.teachers.{name}': single for name, single in teacher['teachers'].items()}


def way_to_weights(network: object, key: str = 'model.teacher') -> str:
    """How to come by a teacher's weights, for errors.

    Args:
        network: Its ``model``, such as the path of a config.
        key: Of its config.
    """
    train = f'Train the teacher first: python tools/train.py {osp.relpath(network)}; or name' \
        if isinstance(network, str) and network.endswith('.py') else 'Name'
    return f'{train} its weights: --cfg-options {key}.checkpoint=FILE (or a URL, or a work directory).'


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
