# scikit-learn's 8x8 scans, shifted by up to one pixel in training and normalised to [-1, 1].
dataset_type = 'Digits'
image_shape = (1, 8, 8)
data_preprocessor = dict(mean=[127.5], std=[127.5], num_classes=10)
train_pipeline = [dict(type='mmpretrain.RandomCrop', crop_size=8, padding=1), dict(type='mmpretrain.PackInputs')]
test_pipeline = [dict(type='mmpretrain.PackInputs')]

train_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(type=dataset_type, split='train', labels_per_class=None, pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, split='val', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, split='test', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
test_evaluator = val_evaluator
