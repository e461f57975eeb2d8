# CIFAR10-DVS with the augmentation of the authors' transformer runs: left and right are exchanged, and one of six
# changes is made, once for all frames of both views.
_base_ = ['./cifar10_dvs.py']
augment = [
    dict(type='RandomFrameFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [],
            [dict(type='RandomFrameShear', max_shear=0.309)],  # tan 0.3, as the authors' 0.3 is an angle
            [dict(type='RandomFrameTranslate', max_shift=5, direction='horizontal')],
            [dict(type='RandomFrameTranslate', max_shift=5, direction='vertical')],
            [dict(type='RandomFrameRotate', max_degrees=30)],
            [dict(type='RandomFrameCutout', max_area=0.11)],
        ])
]
train_pipeline = [_base_.student_frames, *augment, dict(type='PackEvents')]
views_train_pipeline = [_base_.both_frames, *augment, dict(type='PackEvents')]
teacher_train_pipeline = [_base_.teacher_frames, *augment, dict(type='PackEvents')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
