_base_ = ['./sew-resnet18-t4_resnet50_1xb64-310e_cifar100.py']
