# Blurred distillation of the last feature map.
losses = dict(loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, loss_weight=2e-3))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10)]
