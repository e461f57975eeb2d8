# timm's CAFormer-B36, the teacher of the large E-SpikeFormers. Its authors report 87.4 at 224 pixels.
teacher = dict(
    type='FrozenTeacher',
    model='timm/caformer_b36.sail_in22k_ft_in1k',
    checkpoint='pretrained',
    expected_accuracy=86.5)
teacher_taps = dict(
    feature='stages.3',
    stages=['stages.1', 'stages.2', 'stages.3'],
    logits='head.fc',
    classifier='head.fc')
