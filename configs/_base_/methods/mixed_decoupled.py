# The whole method, its blurred distillation decoupled as in bkd_decoupled.py.
losses = dict(
    loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, reduction='mean', decouple=True, loss_weight=10.0),
    loss_wsld=dict(type='WSLDLoss', tau=2.0))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10), dict(key='losses.loss_wsld.tau', factor=2)]
