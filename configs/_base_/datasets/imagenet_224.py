# ImageNet-1k as the paper trains its transformers: the central square at 224 pixels, RandAugment, erasing, and mixup or
# cutmix. The values are those of the authors' imagenet.yml (rand-m9-mstd0.5-inc1) and of timm, which reads it.
dataset_type = 'ImageNet'
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,  # files are read as BGR
    num_classes=1000,
    # One of them for each batch, with even chances.
    batch_augments=dict(augments=[dict(type='mmpretrain.Mixup', alpha=0.8), dict(type='mmpretrain.CutMix', alpha=1.0)]))
fill = [104, 116, 124]  # the mean, BGR

train_pipeline = [
    dict(type='mmpretrain.LoadImageFromFile'),
    # timm's random crop with an area of 1.0 at a ratio of 1.0, which is the largest central square.
    dict(type='bkdsnn.CentralSquare', scale=224, interpolation='bicubic', backend='pillow'),
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        _scope_='mmpretrain',
        policies='timm_increasing',
        num_policies=2,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=fill, interpolation='bicubic')),
    dict(
        type='mmpretrain.RandomErasing',
        erase_prob=0.25,
        mode='const',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=fill),
    dict(type='mmpretrain.PackInputs')
]
test_pipeline = [
    dict(type='mmpretrain.LoadImageFromFile'),
    # crop_pct of 1.0
    dict(type='mmpretrain.ResizeEdge', scale=224, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs')
]

train_dataloader = dict(
    batch_size=48,
    num_workers=8,
    dataset=dict(type=dataset_type, data_root='data/imagenet', split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=48,
    num_workers=8,
    dataset=dict(type=dataset_type, data_root='data/imagenet', split='val', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
