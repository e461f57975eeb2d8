# Your own images, one folder per class:
#   DATA_ROOT=data/flowers python tools/train.py configs/bkd/spikformer_custom.py
# The features of a ViT that knows ImageNet are distilled, so no teacher has to be trained first. Its logits are of
# other
# classes: for WSLD, fine-tune a teacher on your images and name it in model.teacher.
_base_ = ['../snn/spikformer_custom.py', '../_base_/teachers/vit-base_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(_base_.teacher, expected_accuracy=None),
    input_shape=(3, 224, 224),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher=_base_.teacher_feature, blur_ratio=0.15,
                      loss_weight=2e-3)))
