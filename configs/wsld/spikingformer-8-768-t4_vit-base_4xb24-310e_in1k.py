# Spikingformer 8-768 with CML on ImageNet: cross-entropy and weighted soft labels.
_base_ = ['../bkd/spikingformer-8-768-t4_vit-base_4xb24-310e_in1k.py']
model = dict(losses=dict(loss_bkd=None))
