# Head-tail aware KL divergence: forward and reverse, by where the student errs.
losses = dict(loss_hta_kl=dict(type='HTAKLLoss', tau=2.0, head=0.5))
search = [dict(key='losses.loss_hta_kl.tau', factor=2)]
