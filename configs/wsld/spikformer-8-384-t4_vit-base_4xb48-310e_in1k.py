# Spikformer 8-384 with CML on ImageNet: cross-entropy and weighted soft labels.
_base_ = ['../bkd/spikformer-8-384-t4_vit-base_4xb48-310e_in1k.py']
model = dict(losses=dict(loss_bkd=None))
