# Step-wise distillation (HSD): each step learns from the teacher's mean.
losses = dict(loss_hsd=dict(type='HSDLoss', tau=2.0))
search = [dict(key='losses.loss_hsd.tau', factor=2)]
