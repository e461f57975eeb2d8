# The mixed method whose align layer and restoration block learn at a tenth of the student's rate.
losses = dict(
    loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, loss_weight=2e-3, lr_mult=0.1),
    loss_wsld=dict(type='WSLDLoss', tau=2.0))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10), dict(key='losses.loss_wsld.tau', factor=2)]
