# MEOM: a masked view of the teacher for each step, and predictions that foresee the next one.
losses = dict(
    loss_cls=dict(type='StepwiseCELoss'),
    loss_meom=dict(type='MEOMLoss', tau=3.0, beta=0.5, gamma=0.3))
search = [dict(key='losses.loss_meom.tau', factor=2)]
