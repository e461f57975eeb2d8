# Meta-SpikeFormer 8-384 on ImageNet: cross-entropy and blurred distillation.
_base_ = ['../bkd/meta-spikeformer-8-384-t4_vit-base_4xb48-310e_in1k.py']
model = dict(losses=dict(loss_wsld=None))
