# Step-wise distillation (HSD): each step learns from the teacher, a class's share of the loss each.
losses = dict(loss_hsd=dict(type='HSDLoss', tau=2.0))
