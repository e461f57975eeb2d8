# The same network with 16 frames, trained by configs/snn/sew-dvs-net-t16_1xb16-64e_n-caltech101.py.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../snn/sew-dvs-net-t16_1xb16-64e_n-caltech101.py',
    checkpoint='work_dirs/sew-dvs-net-t16_1xb16-64e_n-caltech101',
    expected_accuracy=None)
teacher_taps = dict(
    feature='backbone.stage5.widen',
    stages=['backbone.stage3.widen', 'backbone.stage4.widen', 'backbone.stage5.widen'],
    logits='head',
    classifier='head.fc')
