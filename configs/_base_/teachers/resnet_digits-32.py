# The demo's CNN for digits at 32 pixels, trained by configs/demo/spikingformer_teacher_cnn.py.
_base_ = ['./resnet_digits.py']
teacher = dict(
    model='{{ fileDirname }}/../../demo/spikingformer_teacher_cnn.py',
    checkpoint='work_dirs/demo_spikingformer/teacher_cnn',
    expected_accuracy=97.0)
