# Logits distillation of a student that noise makes smoother (half of CKDSNN).
losses = dict(loss_nld=dict(type='NLDLoss', tau=2.0, share=0.1))
search = [dict(key='losses.loss_nld.tau', factor=2)]
