# Hinton's distillation of the logits.
losses = dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0))
search = [dict(key='losses.loss_kd.tau', factor=2)]
