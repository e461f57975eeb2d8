# An ANN teacher for CIFAR10-DVS: the SEW network with ReLU in place of neurons, which sees each of 16 frames by itself
# and
# averages its logits over them.
_base_ = ['../snn/sew-dvs-net-t16_1xb16-64e_cifar10-dvs.py']
model = dict(backbone=dict(neuron=dict(_delete_=True, type='ReLU')))
