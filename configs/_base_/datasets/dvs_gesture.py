# DVS128 Gesture: 11 gestures with the split of the set itself, otherwise as CIFAR10-DVS.
_base_ = ['./cifar10_dvs.py']
data_preprocessor = dict(num_classes=11)
train_dataloader = dict(dataset=dict(name='DVSGesture'))
val_dataloader = dict(dataset=dict(name='DVSGesture'))
test_dataloader = val_dataloader
