# Spikformer 8-384 with CML on ImageNet.
_base_ = [
    '../_base_/models/spikformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(loss=_base_.smooth_loss))
