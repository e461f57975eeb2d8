# Distances and angles between the samples of a batch.
losses = dict(loss_rkd=dict(type='RKDLoss', distance_weight=25.0, angle_weight=50.0, loss_weight=1.0))
search = [dict(key='losses.loss_rkd.loss_weight', factor=10)]
