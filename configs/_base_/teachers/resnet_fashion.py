# The CNN for Fashion-MNIST, trained by configs/fashion/teacher_cnn.py; its weights come with the package.
_base_ = ['./resnet_digits.py']
teacher = dict(
    model='{{ fileDirname }}/../../fashion/teacher_cnn.py',
    checkpoint='{{ fileDirname }}/../../fashion/weights/teacher_cnn-c409e381.pth',
    expected_accuracy=92.0)
