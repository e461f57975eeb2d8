# Blurred distillation whose align layer and restoration block learn at a tenth of the student's rate.
losses = dict(loss_bkd=dict(type='BKDLoss', blur_ratio=0.15, loss_weight=2e-3, lr_mult=0.1))
search = [dict(key='losses.loss_bkd.loss_weight', factor=10)]
