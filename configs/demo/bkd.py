# Blurred distillation of the last feature map alone.
_base_ = ['./mixed.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_bkd=dict(type='BKDLoss', student='backbone.layer3', teacher='backbone.layer3', blur_ratio=0.15,
                      loss_weight=2e-2)))
optim_wrapper = dict(optimizer=dict(lr=0.3))
work_dir = 'work_dirs/demo/bkd'
