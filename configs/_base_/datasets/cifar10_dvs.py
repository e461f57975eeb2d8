# CIFAR10-DVS with the fixed split, 900 and 100 recordings of each class. Frames of equally many events are kept in
# data/cache: 1.3 GB with 4 frames a recording, 6.6 GB with 4 and 16; cache_dir=None makes them anew in each epoch.
# For distillation with two framings, a config that inherits sets, for each of the three data loaders,
#   train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
#   val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
# with its model's input_shape=_base_.views_shape.
dataset_type = 'TonicDataset'
data_preprocessor = dict(type='bkdsnn.EventDataPreprocessor', num_classes=10)
student_frames = dict(type='EventsToFrames', time_steps=4, by='count')
teacher_frames = dict(type='EventsToFrames', time_steps=16, by='count')
both_frames = dict(type='TwoViews', student=student_frames, teacher=teacher_frames)
train_pipeline = [student_frames, dict(type='PackEvents')]
pipeline = [student_frames, dict(type='PackEvents')]
views_train_pipeline = [both_frames, dict(type='PackEvents')]
views_pipeline = [both_frames, dict(type='PackEvents')]
# What the 16-frame teachers are trained and tested on.
teacher_train_pipeline = [teacher_frames, dict(type='PackEvents')]
teacher_pipeline = [teacher_frames, dict(type='PackEvents')]
views_shape = dict(student=(4, 2, 128, 128), teacher=(16, 2, 128, 128))

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    drop_last=True,
    dataset=dict(
        type=dataset_type, name='CIFAR10DVS', data_root='data', split='train', pipeline=train_pipeline,
        cache_dir='cache'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
# There is no validation part. Report the last epoch: the best one was chosen by the test part.
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    dataset=dict(
        type=dataset_type, name='CIFAR10DVS', data_root='data', split='test', pipeline=pipeline, cache_dir='cache',
        test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
