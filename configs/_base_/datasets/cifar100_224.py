# CIFAR-100 for an ImageNet transformer as teacher, see cifar10_224.py.
_base_ = ['./cifar10_224.py']
dataset_type = 'CIFAR100'
data_preprocessor = dict(num_classes=100)
train_dataloader = dict(dataset=dict(type=dataset_type, data_root='data/cifar100'))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root='data/cifar100'))
test_dataloader = val_dataloader
