# Weighted soft labels.
losses = dict(loss_wsld=dict(type='WSLDLoss', tau=2.0))
search = [dict(key='losses.loss_wsld.tau', factor=2)]
