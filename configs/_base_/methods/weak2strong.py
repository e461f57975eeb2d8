# The least sure step teaches the surest one. No teacher.
losses = dict(loss_weak2strong=dict(type='Strong2WeakLoss', tau=2.0, direction='weak_to_strong'))
search = [dict(key='losses.loss_weak2strong.tau', factor=2)]
