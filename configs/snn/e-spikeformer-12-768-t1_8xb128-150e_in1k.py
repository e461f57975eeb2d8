# E-SpikeFormer 12-768 on ImageNet, as the smaller one.
_base_ = ['./e-spikeformer-12-512-t1_8xb128-150e_in1k.py']
model = dict(backbone=dict(arch='12-768'), head=dict(in_channels=768))
