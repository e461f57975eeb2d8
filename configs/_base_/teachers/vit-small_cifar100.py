# A ViT-S fine-tuned by configs/ann/vit-small-p16_8xb64-50e_cifar100-224px.py; it sees the image at 224 pixels.
# 82.22 is the accuracy of the authors' teacher: a lesser one would be another experiment.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../ann/vit-small-p16_8xb64-50e_cifar100-224px.py',
    checkpoint='work_dirs/vit-small-p16_8xb64-50e_cifar100-224px',
    expected_accuracy=82.22)
teacher_taps = dict(
    feature='model.head:input',
    stages=['model.blocks.3', 'model.blocks.7', 'model.norm'],
    logits='model.head',
    classifier='model.head')
