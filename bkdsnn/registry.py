"""Registries of the package, children of mmengine's with the scope ``bkdsnn``.

A component is found by ``type='Name'`` once its module is imported: by the package listed in ``locations``, or by the
config's ``custom_imports``. Components of other libraries carry their prefix, ``type='mmpretrain.Accuracy'``; those
that build further components by name also need ``_scope_='mmpretrain'``.
"""
from mmengine import registry as mmengine
from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain

from .checkpoints import mmengine_loading  # noqa: F401  whatever is built reads files by it


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='bkdsnn', locations=list(locations))


# Neurons, layers, backbones, heads, classifiers, teachers, distillers and losses.
MODELS = _child(mmengine.MODELS, 'bkdsnn.models')
# Derivatives that stand in for the step function's in the backward pass: plain functions (x, alpha) -> Tensor.
SURROGATES = Registry('surrogate', scope='bkdsnn', locations=['bkdsnn.models.neurons'])
DATASETS = _child(mmengine.DATASETS, 'bkdsnn.datasets')
TRANSFORMS = _child(mmengine.TRANSFORMS, 'bkdsnn.datasets')
HOOKS = _child(mmengine.HOOKS, 'bkdsnn.engine')
LOOPS = _child(mmengine.LOOPS, 'bkdsnn.engine')
OPTIM_WRAPPERS = _child(mmengine.OPTIM_WRAPPERS, 'bkdsnn.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(mmengine.OPTIM_WRAPPER_CONSTRUCTORS, 'bkdsnn.engine')
PARAM_SCHEDULERS = _child(mmengine.PARAM_SCHEDULERS, 'bkdsnn.engine')
METRICS = _child(mmengine.METRICS, 'bkdsnn.evaluation')
VISUALIZERS = _child(mmengine.VISUALIZERS, 'bkdsnn.visualization')

# Nothing of ours is in these yet; they exist so that the scope is known and user code has a place.
BATCH_AUGMENTS = _child(mmpretrain.BATCH_AUGMENTS)
DATA_SAMPLERS = _child(mmengine.DATA_SAMPLERS)
EVALUATORS = _child(mmengine.EVALUATOR)
LOG_PROCESSORS = _child(mmengine.LOG_PROCESSORS)
MODEL_WRAPPERS = _child(mmengine.MODEL_WRAPPERS)
OPTIMIZERS = _child(mmengine.OPTIMIZERS)
RUNNERS = _child(mmengine.RUNNERS)
TASK_UTILS = _child(mmengine.TASK_UTILS)
VISBACKENDS = _child(mmengine.VISBACKENDS)
WEIGHT_INITIALIZERS = _child(mmengine.WEIGHT_INITIALIZERS)
