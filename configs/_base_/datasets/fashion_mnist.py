# Fashion-MNIST, shifted by up to two pixels and mirrored in training, normalised to [-1, 1]. Every twelfth image of the
# training part is for validation; the test part is for the end. The files are looked for in data_root, then where
# Debian's package dataset-fashion-mnist installs them, and downloaded if they are in neither.
dataset_type = 'FashionMNIST'
data_root = 'data/fashion_mnist'
image_shape = (1, 28, 28)
data_preprocessor = dict(mean=[127.5], std=[127.5], num_classes=10)
shift = dict(type='mmpretrain.RandomCrop', crop_size=28, padding=2)
train_pipeline = [
    shift,
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmpretrain.PackInputs')
]
test_pipeline = [dict(type='mmpretrain.PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='train', labels_per_class=None, pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, data_root=data_root, split='val', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type=dataset_type, data_root=data_root, split='test', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
test_evaluator = val_evaluator
