# Selective alignment (SeAl-KD): of steps that err, both answers are evened out; steps learn from sure and similar ones.
losses = dict(
    loss_cls=dict(type='StepwiseCELoss'),
    loss_seal=dict(type='SeAlLoss', tau=3.0, alpha=0.6, beta=0.15))
search = [dict(key='losses.loss_seal.tau', factor=2)]
