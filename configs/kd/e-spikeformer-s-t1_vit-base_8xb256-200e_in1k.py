# E-SpikeFormer-S on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/e-spikeformer-s-t1_vit-base_8xb256-200e_in1k.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
