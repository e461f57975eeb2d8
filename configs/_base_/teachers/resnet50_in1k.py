# torchvision's ResNet-50, the first weights, as the authors have it.
teacher = dict(
    type='FrozenTeacher',
    model='torchvision/resnet50.IMAGENET1K_V1',
    checkpoint='pretrained',
    expected_accuracy=76.13)
teacher_feature = 'layer4'
teacher_logits = 'fc'
