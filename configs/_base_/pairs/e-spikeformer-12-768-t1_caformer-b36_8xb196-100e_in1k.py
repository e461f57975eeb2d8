# E-SpikeFormer 12-768 on ImageNet: student, with a classifier for the teacher's labels, and teacher.
_base_ = ['./e-spikeformer-12-512-t1_caformer-b36_8xb196-100e_in1k.py']
model = dict(student=dict(backbone=dict(arch='12-768'), head=dict(in_channels=768)))
