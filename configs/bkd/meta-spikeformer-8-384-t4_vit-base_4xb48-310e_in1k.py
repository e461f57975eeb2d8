# Meta-SpikeFormer 8-384 on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/meta-spikeformer-8-384-t4_vit-base_4xb48-310e_in1k.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
