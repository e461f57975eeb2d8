# The student's feature through the teacher's classifier (LAF of EnOF-SNN).
losses = dict(loss_laf=dict(type='LAFLoss', tau=2.0))
search = [dict(key='losses.loss_laf.tau', factor=2)]
