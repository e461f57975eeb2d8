# E-SpikeFormer-S on ImageNet: cross-entropy and blurred distillation.
_base_ = ['../bkd/e-spikeformer-s-t1_vit-base_8xb256-200e_in1k.py']
model = dict(losses=dict(loss_wsld=None))
