# DVS128 Gesture: 11 gestures with the split of the set itself. Frames of equally many events.
# For distillation with two framings, a config that inherits sets, for each of the three data loaders,
#   train_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
# with its model's input_shape=_base_.views_shape.
dataset_type = 'TonicDataset'
data_preprocessor = dict(type='bkdsnn.EventDataPreprocessor', num_classes=11)
time_steps = 4
teacher_time_steps = 16
pipeline = [dict(type='EventsToFrames', time_steps=time_steps, by='count'), dict(type='PackEvents')]
views_pipeline = [
    dict(type='EventsToFrames', time_steps=dict(student=time_steps, teacher=teacher_time_steps), by='count'),
    dict(type='PackEvents')
]
views_shape = dict(student=(time_steps, 2, 128, 128), teacher=(teacher_time_steps, 2, 128, 128))

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    drop_last=True,
    dataset=dict(type=dataset_type, name='DVSGesture', data_root='data', split='train', pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
# There is no validation part. Report the last epoch: the best one was chosen by the test part.
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    dataset=dict(
        type=dataset_type, name='DVSGesture', data_root='data', split='test', pipeline=pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
