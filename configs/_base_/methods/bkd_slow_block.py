# Blurred distillation whose align layer and restoration block learn at a tenth of the student's rate.
_base_ = './bkd.py'
losses = dict(loss_bkd=dict(lr_mult=0.1))
