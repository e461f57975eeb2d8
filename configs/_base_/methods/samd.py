# The student's activation map, and the teacher's class activation (half of CKDSNN).
losses = dict(loss_samd=dict(type='SAMDLoss', tau=2.0))
search = [dict(key='losses.loss_samd.tau', factor=2)]
