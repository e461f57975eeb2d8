# Your own images, one folder per class, with the augmentations of imagenet_224.py. Name the folder when you train:
#   DATA_ROOT=data/flowers python tools/train.py CONFIG
# It holds train/<class>/<name>.jpg and val/<class>/<name>.jpg. A config that inherits sizes its model by
# _base_.num_classes, as in model=dict(head=dict(num_classes=_base_.num_classes)). Where loading is too slow, the data
# sets' cache_dir='cache' keeps decoded images of 224 pixels there, 0.15 MB each.
_base_ = ['./imagenet_224.py']  # first, or mmengine would take the imports for its other kind of configs
import os  # noqa: E402

from bkdsnn.utils import listing  # noqa: E402

dataset_type = 'ImageFolder'
data_root = os.environ.get('DATA_ROOT', 'data/images')
# Counted when this file is read, so --cfg-options comes too late; the config in a run's work_dir keeps the outcome.
train_folder = os.path.join(data_root, 'train')
classes = listing.class_folders(train_folder) if os.path.isdir(train_folder) else []
# Without the folder, the config can still be read; the data set says what is missing.
num_classes = max(len(classes), 1)

data_preprocessor = dict(num_classes=num_classes)
train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, classes=classes))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, classes=classes))
val_evaluator = dict(topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
# No settings, so that changing them on the command line is an error instead of nothing.
del data_root, train_folder
