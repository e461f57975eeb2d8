# The teacher's hard labels for a classifier of their own (DeiT).
losses = dict(loss_kd=dict(type='HardLogitsKDLoss', loss_weight=0.5))
search = [dict(key='losses.loss_kd.loss_weight', factor=3)]
