_base_ = ['./spikingformer-4-384-t4_vit-small_1xb64-310e_cifar10.py']
