# Correlations between the logits' probabilities, with the temperature for ImageNet; its authors take 4 on CIFAR.
losses = dict(loss_kd=dict(type='DISTLoss', tau=1.0, beta=1.0, gamma=1.0, loss_weight=2.0))
search = [dict(key='losses.loss_kd.tau', factor=2)]
