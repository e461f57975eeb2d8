# SEW network on N-Caltech101, 4 frames: cross-entropy and blurred distillation.
_base_ = ['../bkd/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_n-caltech101.py']
model = dict(losses=dict(loss_wsld=None))
