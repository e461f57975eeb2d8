# The teacher on events: the same network with 16 frames a recording, trained on all 500 training labels.
_base_ = ['./events_plain.py']
train_dataloader = dict(dataset=dict(labels_per_class=None, pipeline=_base_.teacher_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.teacher_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_base_.teacher_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=5e-4))
work_dir = 'work_dirs/demo_events/teacher'
