# Hinton's distillation of the logits.
_base_ = ['./mixed.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher='head', tau=8.0)))
optim_wrapper = dict(optimizer=dict(lr=0.3))
work_dir = 'work_dirs/demo/kd'
