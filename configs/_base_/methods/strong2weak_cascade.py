# Each step teaches the next less sure one. No teacher.
losses = dict(loss_strong2weak=dict(type='Strong2WeakLoss', tau=2.0, direction='strong_to_weak', cascade=True))
search = [dict(key='losses.loss_strong2weak.tau', factor=2)]
