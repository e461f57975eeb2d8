# The teacher of the 4-frame Spikingformer 2-256 with CML on DVS128 Gesture: the same network with 16 frames.
_base_ = ['./spikingformer-2-256-t4_1xb16-106e_dvs-gesture.py']
train_dataloader = dict(dataset=dict(pipeline=_base_.teacher_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.teacher_pipeline))
test_dataloader = val_dataloader
