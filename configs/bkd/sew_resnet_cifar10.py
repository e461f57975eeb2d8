_base_ = ['./sew-resnet18-t4_resnet18_1xb64-310e_cifar10.py']
