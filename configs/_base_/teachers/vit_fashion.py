# The ViT for Fashion-MNIST, trained by configs/fashion/teacher_vit.py; its weights come with the package. The distilled
# feature is its class token; the accuracy is that on the validation split.
_base_ = ['./vit_digits-32.py']
teacher = dict(
    model='{{ fileDirname }}/../../fashion/teacher_vit.py',
    checkpoint='{{ fileDirname }}/../../fashion/weights/teacher_vit-bd22ae17.pth',
    expected_accuracy=89.8)
