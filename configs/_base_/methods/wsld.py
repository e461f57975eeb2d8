# Weighted soft labels.
losses = dict(loss_wsld=dict(type='WSLDLoss', tau=2.0))
