"""What a program calls: models by config or by name."""
from .model import config_root, get_model, init_model, list_models, student_config

__all__ = ['config_root', 'get_model', 'init_model', 'list_models', 'student_config']
