# Attention maps of three stages.
losses = dict(loss_at=dict(type='ATLoss', p=2, loss_weight=1000.0))
search = [dict(key='losses.loss_at.loss_weight', factor=10)]
