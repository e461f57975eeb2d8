# The ViT for Fashion-MNIST, trained by configs/fashion/teacher_vit.py; the distilled feature is its class token.
# What it reaches is not known yet, so nothing is expected of it.
_base_ = ['./vit_digits-32.py']
teacher = dict(
    model='{{ fileDirname }}/../../fashion/teacher_vit.py',
    checkpoint='work_dirs/fashion/teacher_vit',
    expected_accuracy=None)
