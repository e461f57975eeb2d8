# Blurred distillation whose align layer and restoration block learn without the weight, which is that of the mean form.
losses = dict(
    loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, reduction='mean', decouple=True, loss_weight=10.0))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10)]
