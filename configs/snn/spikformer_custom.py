# Your own images, one folder per class, without distillation:
#   DATA_ROOT=data/flowers python tools/train.py configs/snn/spikformer_custom.py
_base_ = [
    '../_base_/models/spikformer.py', '../_base_/datasets/image_folder_224.py',
    '../_base_/schedules/imagenet_transformer_310e.py', '../_base_/default_runtime.py'
]
model = dict(head=dict(num_classes=_base_.num_classes, loss=_base_.smooth_loss))
