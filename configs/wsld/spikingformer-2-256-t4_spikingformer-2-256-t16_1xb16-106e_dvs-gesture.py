# Spikingformer 2-256 with CML on DVS128 Gesture, 4 frames: cross-entropy and weighted soft labels.
_base_ = ['../bkd/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_dvs-gesture.py']
model = dict(losses=dict(loss_bkd=None))
