# The same scans enlarged to 32x32, the size of CIFAR.
_base_ = ['./digits.py']
image_shape = (1, 32, 32)
enlarge = dict(type='mmpretrain.Resize', scale=32, interpolation='bicubic')
train_pipeline = [_base_.train_pipeline[0], enlarge, dict(type='mmpretrain.PackInputs')]
test_pipeline = [enlarge, dict(type='mmpretrain.PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
