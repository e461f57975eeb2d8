# A ViT-S fine-tuned by configs/ann/vit-small-p16_8xb64-50e_cifar10-224px.py; it sees the image at 224 pixels.
# 96.75 is the accuracy of the authors' teacher: a lesser one would be another experiment.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../ann/vit-small-p16_8xb64-50e_cifar10-224px.py',
    checkpoint='work_dirs/vit-small-p16_8xb64-50e_cifar10-224px',
    expected_accuracy=96.75)
teacher_taps = dict(
    feature='model.head:input',
    stages=['model.blocks.3', 'model.blocks.7', 'model.norm'],
    logits='model.head',
    classifier='model.head')
