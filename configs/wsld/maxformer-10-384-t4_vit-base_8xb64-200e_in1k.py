# Max-Former 10-384 on ImageNet: cross-entropy and weighted soft labels.
_base_ = ['../bkd/maxformer-10-384-t4_vit-base_8xb64-200e_in1k.py']
model = dict(losses=dict(loss_bkd=None))
