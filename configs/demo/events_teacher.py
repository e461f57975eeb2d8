# The teacher on events: the same network with 16 frames a recording, trained on all 500 training labels.
_base_ = ['./events_plain.py']
frames = _base_.teacher_frames
train_dataloader = dict(
    dataset=dict(labels_per_class=None, pipeline=[frames, *_base_.augment, dict(type='PackEvents')]))
val_dataloader = dict(dataset=dict(pipeline=[frames, dict(type='PackEvents')]))
test_dataloader = dict(dataset=dict(pipeline=[frames, dict(type='PackEvents')]))
optim_wrapper = dict(optimizer=dict(lr=0.1))
work_dir = 'work_dirs/demo_events/events_teacher'
