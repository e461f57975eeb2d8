# Meta-SpikeFormer 8-384 on ImageNet, which is not in the paper; trained as its transformers are.
_base_ = [
    '../_base_/models/meta_spikeformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(loss=_base_.smooth_loss))
