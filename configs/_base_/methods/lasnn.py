# LaSNN: logits and attention maps of three stages.
losses = dict(
    loss_kd=dict(type='LogitsKDLoss', tau=2.0),
    loss_lasnn=dict(type='LaSNNLoss', loss_weight=1.0))
search = [dict(key='losses.loss_lasnn.loss_weight', factor=10)]
