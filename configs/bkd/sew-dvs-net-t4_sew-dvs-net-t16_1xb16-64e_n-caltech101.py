# SEW network on N-Caltech101, 4 frames: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_n-caltech101.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
