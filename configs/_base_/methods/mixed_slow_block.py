# The mixed method whose align layer and restoration block learn at a tenth of the student's rate.
_base_ = './mixed.py'
losses = dict(loss_bkd=dict(lr_mult=0.1))
