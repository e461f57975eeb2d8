# Fashion-MNIST, shifted by up to two pixels and mirrored in training, normalised to [-1, 1]. Every twelfth image of the
# training part is for validation; the test part is for the end. The files are looked for in data_root, then where
# Debian's package dataset-fashion-mnist installs them, and downloaded if they are in neither.
_base_ = ['./digits.py']
dataset_type = 'FashionMNIST'
data_root = 'data/fashion_mnist'
image_shape = (1, 28, 28)
shift = dict(type='mmpretrain.RandomCrop', crop_size=28, padding=2)
train_pipeline = [
    shift,
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmpretrain.PackInputs')
]

train_dataloader = dict(
    batch_size=128, dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
