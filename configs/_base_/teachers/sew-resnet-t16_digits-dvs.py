# The demo's student with 16 frames, trained by configs/demo/events_teacher.py.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../demo/events_teacher.py',
    checkpoint='work_dirs/demo_events/teacher',
    expected_accuracy=96.0)
teacher_taps = dict(
    feature='backbone.layer3',
    stages=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'],
    logits='head',
    classifier='head.fc')
