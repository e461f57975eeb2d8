# MNIST as Fashion-MNIST, but not mirrored: a mirrored digit is another one, or none.
_base_ = ['./fashion_mnist.py']
dataset_type = 'MNIST'
data_root = 'data/mnist'
train_pipeline = [_base_.shift, dict(type='mmpretrain.PackInputs')]
train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
