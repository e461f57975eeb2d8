# mmpretrain's ResNet-50 for CIFAR-100.
teacher = dict(
    type='FrozenTeacher',
    model='resnet50_8xb16_cifar100',
    checkpoint='pretrained',
    expected_accuracy=79.9)
teacher_taps = dict(
    feature='backbone.layer4',
    stages=['backbone.layer2', 'backbone.layer3', 'backbone.layer4'],
    logits='head.fc',
    classifier='head.fc')
