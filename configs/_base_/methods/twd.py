# Temporal-wise distillation: each step learns from the teacher and from the steps that are right.
losses = dict(
    loss_cls=dict(type='StepwiseCELoss'),
    loss_twd=dict(type='TWDLoss', tau=3.0, alpha=0.2, beta=0.5))
search = [dict(key='losses.loss_twd.tau', factor=2)]
