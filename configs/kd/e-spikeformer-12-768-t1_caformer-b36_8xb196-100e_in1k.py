# E-SpikeFormer 12-768 on ImageNet: cross-entropy, and a classifier of its own for the teacher's hard labels (DeiT), a
# half each. The authors start from the weights of the plain network (load_from=...).
_base_ = ['../_base_/pairs/e-spikeformer-12-768-t1_caformer-b36_8xb196-100e_in1k.py', '../_base_/methods/hard_kd.py']
model = dict(losses=_base_.losses)
