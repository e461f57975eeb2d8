# CIFAR-10 as the paper trains on it: flips, RandAugment, erasing and mixup on the whole 32x32 image. The values are
# those of the authors' cifar10.yml (rand-m9-n1-mstd0.4-inc1) and of timm, which reads it. As there, the official test
# part is also what is validated on; report the last epoch, not the best one.
dataset_type = 'CIFAR10'
image_shape = (3, 32, 32)
data_preprocessor = dict(
    # On the scale 0 to 1: mean 0.4914, 0.4822, 0.4465 and standard deviation 0.2470, 0.2435, 0.2616.
    mean=[125.307, 122.961, 113.8575],
    std=[62.985, 62.0925, 66.708],
    to_rgb=True,  # the data set gives BGR
    num_classes=10,
    batch_augments=dict(augments=[dict(type='mmpretrain.Mixup', alpha=0.5)]))
fill = [114, 123, 125]  # the mean, BGR

train_pipeline = [
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        _scope_='mmpretrain',
        policies='timm_increasing',
        num_policies=1,
        magnitude_level=9,
        magnitude_std=0.4,
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
test_pipeline = [dict(type='mmpretrain.PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(type=dataset_type, data_root='data/cifar10', split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    dataset=dict(type=dataset_type, data_root='data/cifar10', split='test', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='mmpretrain.Accuracy')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
