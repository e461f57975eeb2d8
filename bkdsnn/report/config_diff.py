"""The settings of runs as the report compares them."""
from typing import Any, Dict

from mmengine.config import Config

from ..config.differences import training_settings


def settings_of(config: Config) -> Dict[str, Any]:
    """What the runner reads of a config.

    A distillation's student is listed under ``model``, as a student without a teacher is, so that the two can be
    compared.
    """
    settings = training_settings(config)
    model = settings.get('model', {})
    if 'student' in model:
        beside = {key: part for key, part in model.items() if key not in ('type', 'student', 'input_shape', 'taps')}
        settings = {**beside, **settings, 'model': model['student']}
    return settings
