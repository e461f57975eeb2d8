# Temporal knowledge sharing: each step learns from those that are right. No teacher.
losses = dict(loss_cls=dict(type='TKSLoss', tau=3.0, alpha=0.7))
search = [dict(key='losses.loss_cls.tau', factor=2)]
