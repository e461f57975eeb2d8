"""What stands where in a config: by its place, what each dict is that does not say so by a ``type``."""
from typing import Callable, NamedTuple, Optional, Tuple

import torch
from mmengine.dist import init_dist
from mmengine.evaluator import Evaluator
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import FUNCTIONS, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from mmengine.utils import import_modules_from_strings
from mmengine.utils.dl_utils import set_multi_processing
from mmpretrain.models import RandomBatchAugment
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from bkdsnn import registry as ours


class Place(NamedTuple):
    """A place in a config.

    Attributes:
        registry: Where the name in ``type`` is looked up, here and below; ``None`` is that of the place above.
        default: The class or function whose arguments stand here where there is no ``type``, or what chooses it by the
            dict; ``None`` where there has to be a ``type``, or the keys are ``more`` alone.
        given: Arguments that do not come from the config.
        more: Keys that are read beside the arguments.
        needs: Keys that have to be there.
        takes_others: Whether there may be other keys too, unless they are slips of these.
    """

    registry: Optional[Registry] = None
    default: Optional[Callable] = None
    given: Tuple[str, ...] = ()
    more: Tuple[str, ...] = ()
    needs: Tuple[str, ...] = ()
    takes_others: bool = False


class Choice:
    """A default that depends on the dict: ``choose(dict)`` gives a class or function, or ``None``."""

    def __init__(self, choose: Callable[[dict], Optional[Callable]]) -> None:
        self.choose = choose


LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# What is read at the top beside the arguments of mmengine's runner: by the runner, by Config and by this package.
READ = ('model_wrapper_cfg', 'sync_bn', 'find_unused_parameters', 'compile', 'activation_checkpointing',
        'efficient_conv_bn_eval', 'custom_imports', 'image_shape', 'views_shape')
HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint', 'sync_buffers',
         'resume_check', 'checkpoint_check', 'weights_guard', 'teacher_cache', 'dead_block', 'visualization')
PARAMWISE = ('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult',
             'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate')
LOOP = ('runner', 'dataloader', 'evaluator')
CLIPPING = dict(norm=clip_grad_norm_, value=clip_grad_value_)

# By key, joined by dots, without the numbers of list entries; or by class and argument. A star stands for a part of one
# key, two stars for any number of keys. The first that fits counts.
PLACES = {
    '': Place(default=Runner.__init__, given=('self', 'cfg'), more=READ, takes_others=True),
    'model': Place(ours.MODELS),
    '*Classifier.train_cfg': Place(default=RandomBatchAugment),
    'model.losses.*': Place(ours.MODELS, more=('lr_mult', )),
    'model.losses': Place(takes_others=True),
    'model.teacher_cache': Place(ours.MODELS, Choice(lambda _: ours.MODELS.get('TeacherCache')), needs=('folder', )),
    '**.batch_augments': Place(default=RandomBatchAugment),
    '**.augments': Place(ours.BATCH_AUGMENTS),
    '**.surrogate': Place(ours.SURROGATES, given=('x', )),
    '**.init_cfg.override': Place(more=('name', )),
    '**.init_cfg': Place(ours.WEIGHT_INITIALIZERS, more=('override', )),
    '**.norm_cfg': Place(more=('requires_grad', )),
    '**data_preprocessor': Place(ours.MODELS, Choice(lambda _: ours.MODELS.get('ImageDataPreprocessor'))),
    **dict.fromkeys(LOADERS, Place(ours.DATASETS, DataLoader, needs=('dataset', 'sampler'),
                                   more=('num_batch_per_epoch', 'disable_subprocess_warning'))),
    '**.dataset': Place(ours.DATASETS),
    '*Augment.policies': Place(more=('magnitude_key', )),
    '**.pipeline': Place(ours.TRANSFORMS),
    '**.sampler': Place(ours.DATA_SAMPLERS, given=('dataset', )),
    '**.batch_sampler': Place(ours.DATA_SAMPLERS, given=('sampler', 'batch_size')),
    '**.collate_fn': Place(FUNCTIONS),
    '**.worker_init_fn': Place(FUNCTIONS),
    '*_evaluator.metrics': Place(ours.METRICS),
    '*_evaluator': Place(ours.METRICS, Choice(lambda evaluator: Evaluator if 'metrics' in evaluator else None)),
    'train_cfg': Place(ours.LOOPS, Choice(lambda loop: EpochBasedTrainLoop if loop.get('by_epoch') else
                                          IterBasedTrainLoop if 'by_epoch' in loop else None),
                       given=LOOP, more=('by_epoch', )),
    'val_cfg': Place(ours.LOOPS, ValLoop, given=LOOP),
    'test_cfg': Place(ours.LOOPS, TestLoop, given=LOOP),
    'optim_wrapper.optimizer': Place(ours.OPTIMIZERS, given=('params', )),
    'optim_wrapper.clip_grad': Place(default=Choice(lambda clip: CLIPPING.get(clip.get('type'), clip_grad_norm_)),
                                     given=('parameters', ), more=('type', )),
    'optim_wrapper.paramwise_cfg.custom_keys.**': Place(more=('lr_mult', 'decay_mult'), takes_others=True),
    'optim_wrapper.paramwise_cfg.custom_keys': Place(takes_others=True),
    'optim_wrapper.paramwise_cfg': Place(more=PARAMWISE),
    'optim_wrapper': Place(
        ours.OPTIM_WRAPPERS, Choice(lambda wrapper: OptimWrapper if wrapper.get('constructor') is None else None),
        more=('constructor', 'paramwise_cfg')),
    'param_scheduler': Place(ours.PARAM_SCHEDULERS, given=('optimizer', ),
                             more=('convert_to_iter_based', 'epoch_length')),
    'auto_scale_lr': Place(more=('enable', 'base_batch_size'), needs=('base_batch_size', )),
    'default_hooks.*': Place(ours.HOOKS, more=('priority', )),
    'default_hooks': Place(ours.HOOKS, more=HOOKS, takes_others=True),
    'SwitchRecipeHook.schedule': Place(more=('action_epoch', 'train_pipeline', 'batch_augments', 'loss'),
                                       needs=('action_epoch', )),
    'custom_hooks**.train_pipeline': Place(ours.TRANSFORMS),
    'custom_hooks**.loss': Place(ours.MODELS),
    'custom_hooks': Place(ours.HOOKS, more=('priority', )),
    'visualizer.vis_backends': Place(ours.VISBACKENDS),
    'visualizer': Place(ours.VISUALIZERS),
    'log_processor': Place(ours.LOG_PROCESSORS, LogProcessor),
    'model_wrapper_cfg': Place(ours.MODEL_WRAPPERS, MMDistributedDataParallel, given=('module', )),
    'env_cfg.mp_cfg': Place(default=set_multi_processing, given=('distributed', )),
    'env_cfg.dist_cfg': Place(default=init_dist, given=('launcher', ), more=('timeout', ), takes_others=True),
    'env_cfg': Place(more=('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit')),
    'randomness': Place(default=Runner.set_randomness, given=('self', )),
    'custom_imports': Place(default=import_modules_from_strings, needs=('imports', )),
    'compile': Place(default=torch.compile, given=('model', )),
}
ROOTS = ('model', 'data_preprocessor', *LOADERS, 'val_evaluator', 'test_evaluator', 'train_cfg', 'val_cfg', 'test_cfg',
         'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'default_hooks', 'custom_hooks', 'visualizer',
         'log_processor', 'model_wrapper_cfg', 'env_cfg', 'randomness', 'custom_imports', 'compile')
