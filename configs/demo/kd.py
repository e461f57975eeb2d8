_base_ = ['./mixed.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher='head', tau=2.0)))
work_dir = 'work_dirs/demo/kd'
