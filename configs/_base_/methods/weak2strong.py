# The least sure step teaches the surest one. No teacher.
losses = dict(loss_weak2strong=dict(type='Strong2WeakLoss', direction='weak_to_strong'))
