# KDSNN: logits and the last feature map.
losses = dict(
    loss_kd=dict(type='LogitsKDLoss', tau=2.0),
    loss_kdsnn=dict(type='KDSNNLoss', loss_weight=7e-5))
search = [dict(key='losses.loss_kdsnn.loss_weight', factor=10)]
