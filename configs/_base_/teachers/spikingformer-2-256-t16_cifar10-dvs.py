# The same network with 16 frames, trained by configs/snn/spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../snn/spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py',
    checkpoint='work_dirs/spikingformer-2-256-t16_1xb16-106e_cifar10-dvs',
    expected_accuracy=None)
teacher_taps = dict(
    feature='backbone',
    stages=['backbone.tokenizer', 'backbone.blocks.0', 'backbone'],
    logits='head',
    classifier='head.fc')
