# Temporal efficient training: each step shall be right, its logits near the threshold. No teacher.
losses = dict(loss_cls=dict(type='TETLoss', lamb=1e-3, means=1.0))
search = [dict(key='losses.loss_cls.lamb', factor=10)]
