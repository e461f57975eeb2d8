# CKDSNN: activation maps, and logits that noise makes smoother.
losses = dict(
    loss_samd=dict(type='SAMDLoss', tau=2.0),
    loss_nld=dict(type='NLDLoss', tau=2.0, share=0.1))
search = [dict(key='losses.loss_nld.tau', factor=2)]
