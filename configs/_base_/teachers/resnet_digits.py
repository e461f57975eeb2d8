# The demo's ANN for 8x8 digits, trained by configs/demo/teacher.py.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../demo/teacher.py',
    checkpoint='work_dirs/demo/teacher',
    expected_accuracy=98.0)
teacher_taps = dict(
    feature='backbone.layer3',
    stages=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'],
    logits='head',
    classifier='head.fc')
