# CIFAR-10 for an ImageNet transformer as teacher. Images are augmented at 32 pixels and then enlarged, which is what
# the teacher gets when the student sees 32 pixels. Normalised as timm's ViT of the AugReg and original recipes.
_base_ = ['./cifar10.py']
image_shape = (3, 224, 224)
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
enlarge = dict(type='mmpretrain.Resize', scale=224, interpolation='bicubic', backend='pillow')
train_pipeline = [*_base_.train_pipeline[:-1], enlarge, dict(type='mmpretrain.PackInputs')]
test_pipeline = [enlarge, dict(type='mmpretrain.PackInputs')]
train_dataloader = dict(num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
