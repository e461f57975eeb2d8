# scikit-learn's 8x8 scans, few labels per class; pixels are normalised to about [-1, 1].
dataset_type = 'Digits'
data_preprocessor = dict(mean=[127.5], std=[127.5], num_classes=10)
pipeline = [dict(type='mmpretrain.PackInputs')]

train_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(type=dataset_type, split='train', labels_per_class=30, pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, split='val', pipeline=pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, split='test', pipeline=pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'))
test_evaluator = val_evaluator
