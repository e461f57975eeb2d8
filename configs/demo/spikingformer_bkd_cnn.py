# Blurred distillation of the last feature map from the CNN: an 8x8 map against an 8x8 map.
_base_ = ['../_base_/pairs/spikingformer-1-64-t2_resnet_digits-32.py', '../_base_/methods/bkd.py']
model = dict(losses=_base_.losses)
work_dir = 'work_dirs/demo_spikingformer/bkd_cnn'
