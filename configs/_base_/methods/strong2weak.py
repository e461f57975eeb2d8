# The surest step teaches the least sure one. No teacher.
losses = dict(loss_strong2weak=dict(type='Strong2WeakLoss', direction='strong_to_weak'))
