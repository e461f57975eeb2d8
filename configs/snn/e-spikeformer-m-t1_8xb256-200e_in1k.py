# E-SpikeFormer-M on ImageNet, by its authors' rate and epochs; they use neither mixup nor cutmix.
_base_ = [
    '../_base_/models/e_spikeformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_integer_200e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch='m'), head=dict(in_channels=240, loss=_base_.smooth_loss))
data_preprocessor = dict(batch_augments=None)
train_dataloader = dict(batch_size=256)
