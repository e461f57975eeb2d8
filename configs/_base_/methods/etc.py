# Temporal consistency: each step learns from each of the others. No teacher.
losses = dict(loss_etc=dict(type='ETCLoss', tau=4.0))
search = [dict(key='losses.loss_etc.tau', factor=2)]
