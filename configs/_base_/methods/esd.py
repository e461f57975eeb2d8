# Branch self-distillation: heads on earlier stages, which learn from those that are right. No teacher.
losses = dict(loss_cls=dict(type='ESDLoss', tau=3.0, alpha=1.0, beta=0.3))
search = [dict(key='losses.loss_cls.tau', factor=2)]
