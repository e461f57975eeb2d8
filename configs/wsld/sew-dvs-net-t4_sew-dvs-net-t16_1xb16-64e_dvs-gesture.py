# SEW network on DVS128 Gesture, 4 frames: cross-entropy and weighted soft labels.
_base_ = ['../bkd/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_dvs-gesture.py']
model = dict(losses=dict(loss_bkd=None))
