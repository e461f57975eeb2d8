# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames: cross-entropy and blurred distillation.
_base_ = ['../bkd/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py']
model = dict(losses=dict(loss_wsld=None))
