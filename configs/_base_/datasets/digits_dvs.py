# scikit-learn's scans before a simulated event camera; frames of equally many events, averaged down to 10x10 pixels.
# For distillation with two framings, a config that inherits sets, for each of the three data loaders,
#   train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
#   val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
# with its model's input_shape=_base_.views_shape.
_base_ = ['./digits.py']
dataset_type = 'DigitsDVS'
data_preprocessor = dict(_delete_=True, type='bkdsnn.EventDataPreprocessor', num_classes=10, size=10)
student_frames = dict(type='EventsToFrames', time_steps=4)
teacher_frames = dict(type='EventsToFrames', time_steps=16)
both_frames = dict(type='TwoViews', student=student_frames, teacher=teacher_frames)
augment = [dict(type='RandomFrameRoll', max_shift=2)]
train_pipeline = [student_frames, *augment, dict(type='PackEvents')]
pipeline = [student_frames, dict(type='PackEvents')]
views_train_pipeline = [both_frames, *augment, dict(type='PackEvents')]
views_pipeline = [both_frames, dict(type='PackEvents')]
teacher_train_pipeline = [teacher_frames, *augment, dict(type='PackEvents')]
teacher_pipeline = [teacher_frames, dict(type='PackEvents')]
views_shape = dict(student=(4, 2, 10, 10), teacher=(16, 2, 10, 10))

train_dataloader = dict(dataset=dict(type=dataset_type, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type, pipeline=pipeline))
test_dataloader = dict(dataset=dict(type=dataset_type, pipeline=pipeline))
