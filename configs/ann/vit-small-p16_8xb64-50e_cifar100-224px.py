# The teacher of the CIFAR-100 experiments: timm's ViT-S with ImageNet weights, fine-tuned. They are downloaded; a file
# of them is taken by --cfg-options model.pretrained_cfg_overlay.file=FILE.
_base_ = [
    '../_base_/datasets/cifar100_224.py', '../_base_/schedules/vit_finetune_50e.py', '../_base_/default_runtime.py'
]
model = dict(
    type='TimmClassifier',
    _scope_='mmpretrain',
    model_name='vit_small_patch16_224.augreg_in21k_ft_in1k',
    pretrained=True,
    num_classes=100,
    loss=_base_.smooth_loss)
