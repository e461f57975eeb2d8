# N-Caltech101: 101 classes, of which every tenth recording is tested on. The 240x180 pixels of its sensor become
# 128x128, and no event is lost. Otherwise as CIFAR10-DVS.
_base_ = ['./cifar10_dvs.py']
data_preprocessor = dict(num_classes=101)
resize = dict(type='ResizeEvents', size=128)
train_pipeline = [resize, *_base_.train_pipeline]
pipeline = [resize, *_base_.pipeline]
views_train_pipeline = [resize, *_base_.views_train_pipeline]
views_pipeline = [resize, *_base_.views_pipeline]
teacher_train_pipeline = [resize, *_base_.teacher_train_pipeline]
teacher_pipeline = [resize, *_base_.teacher_pipeline]
train_dataloader = dict(dataset=dict(name='NCALTECH101', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='NCALTECH101', pipeline=pipeline))
test_dataloader = val_dataloader
