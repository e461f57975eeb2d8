# Hinton's distillation of standardised logits.
losses = dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0, standardise=True, loss_weight=9.0))
search = [dict(key='losses.loss_kd.tau', factor=2)]
