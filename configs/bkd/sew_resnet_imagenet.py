_base_ = ['./sew-resnet18-t4_resnet18_2xb128-320e_in1k.py']
