# Decoupled distillation of the logits; the weight grows over the first 20 of 240 epochs, as its authors' on CIFAR.
losses = dict(
    loss_kd=dict(
        type='DKDLoss',
        tau=4.0,
        alpha=1.0,
        beta=8.0,
        loss_weight=dict(points=[(0, 1 / 20), (19 / 240, 1.0), (1, 1.0)], by_epoch=True)))
search = [dict(key='losses.loss_kd.beta', factor=2)]
