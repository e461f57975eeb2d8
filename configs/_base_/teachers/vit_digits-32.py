# The demo's ViT, trained by configs/demo/spikingformer_teacher_vit.py; the distilled feature is its class token.
teacher = dict(
    type='FrozenTeacher',
    model='{{ fileDirname }}/../../demo/spikingformer_teacher_vit.py',
    checkpoint='work_dirs/demo_spikingformer/teacher_vit',
    expected_accuracy=95.5)
teacher_taps = dict(
    feature='backbone',
    stages=['backbone.layers.0', 'backbone.layers.2', 'backbone.ln1'],
    logits='head',
    classifier='head.layers.head')
