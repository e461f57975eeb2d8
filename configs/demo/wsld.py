# Weighted soft labels alone.
_base_ = ['./mixed.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_wsld=dict(type='WSLDLoss', student='head', teacher='head', tau=8.0)))
optim_wrapper = dict(optimizer=dict(lr=0.1))
work_dir = 'work_dirs/demo/wsld'
