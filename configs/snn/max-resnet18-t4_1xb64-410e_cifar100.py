# Max-ResNet-18 on CIFAR-100, by its authors' recipe.
_base_ = [
    '../_base_/models/max_resnet.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_transformer_410e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(num_classes=100, loss=_base_.smooth_loss))
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
data_preprocessor = dict(
    batch_augments=dict(
        augments=[dict(type='mmpretrain.Mixup', alpha=0.75), dict(type='mmpretrain.CutMix', alpha=0.5)]))
# Both go off at epoch 250.
mixup_off = _base_.mixup_off
mixup_off.schedule[0].action_epoch = 251
custom_hooks = [*_base_.custom_hooks, mixup_off]
