# Three stages, fused from deep to shallow; the weight grows over the first 20 of 240 epochs, as its authors' on CIFAR.
losses = dict(
    loss_reviewkd=dict(
        type='ReviewKDLoss', loss_weight=dict(points=[(0, 1 / 20), (19 / 240, 1.0), (1, 1.0)], by_epoch=True)))
search = [dict(key='losses.loss_reviewkd.loss_weight', factor=10)]
