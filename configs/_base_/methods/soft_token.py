# The teacher's logits for a classifier of their own (DeiT).
losses = dict(loss_kd=dict(type='SoftTokenKDLoss', tau=1.0, loss_weight=0.5))
search = [dict(key='losses.loss_kd.tau', factor=2)]
