# The whole method: blurred distillation of the last feature map, and weighted soft labels.
losses = dict(
    loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, loss_weight=2e-3),
    loss_wsld=dict(type='WSLDLoss', tau=2.0))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10), dict(key='losses.loss_wsld.tau', factor=2)]
