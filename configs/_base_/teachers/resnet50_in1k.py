# torchvision's ResNet-50, the first weights, as the authors have it.
teacher = dict(
    type='FrozenTeacher',
    model='torchvision/resnet50.IMAGENET1K_V1',
    checkpoint='pretrained',
    expected_accuracy=76.13)
teacher_taps = dict(
    feature='layer4',
    stages=['layer2', 'layer3', 'layer4'],
    logits='fc',
    classifier='fc')
