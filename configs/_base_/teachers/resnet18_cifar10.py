# mmpretrain's ResNet-18 for CIFAR-10.
teacher = dict(
    type='FrozenTeacher',
    model='resnet18_8xb16_cifar10',
    checkpoint='pretrained',
    expected_accuracy=94.82)
teacher_taps = dict(
    feature='backbone.layer4',
    stages=['backbone.layer2', 'backbone.layer3', 'backbone.layer4'],
    logits='head.fc',
    classifier='head.fc')
