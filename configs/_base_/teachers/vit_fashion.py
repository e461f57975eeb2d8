# The ViT for Fashion-MNIST, trained by configs/fashion/teacher_vit.py; the distilled feature is its class token.
_base_ = ['./vit_digits-32.py']
teacher = dict(
    model='{{ fileDirname }}/../../fashion/teacher_vit.py',
    checkpoint='work_dirs/fashion/teacher_vit',
    expected_accuracy=89.0)
