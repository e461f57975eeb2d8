# The CNN for Fashion-MNIST, trained by configs/fashion/teacher_cnn.py.
_base_ = ['./resnet_digits.py']
teacher = dict(
    model='{{ fileDirname }}/../../fashion/teacher_cnn.py',
    checkpoint='work_dirs/fashion/teacher_cnn',
    expected_accuracy=90.0)
