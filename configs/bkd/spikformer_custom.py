# Your own images, one folder per class:
#   DATA_ROOT=data/flowers python tools/train.py configs/bkd/spikformer_custom.py
# The features of a ViT that knows ImageNet are distilled, so no teacher has to be trained first. Its logits are of
# other
# classes: for WSLD, fine-tune a teacher on your images and name it in model.teacher.
_base_ = ['../_base_/pairs/spikformer_custom.py', '../_base_/methods/bkd.py']
model = dict(losses=_base_.losses)
