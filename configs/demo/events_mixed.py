# The whole method on events: the student sees 4 frames of a recording, the teacher 16 of the same.
_base_ = ['../_base_/pairs/sew-resnet-t4_sew-resnet-t16_digits-dvs.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 2e-2
_base_.losses.loss_wsld.tau = 4.0
model = dict(losses=_base_.losses)
work_dir = 'work_dirs/demo_events/mixed'
