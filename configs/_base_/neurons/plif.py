# Parametric leaky integrate-and-fire: one leak for each layer, learned.
_base_ = ['./lif.py']
neuron = dict(type='ParametricLIFNode')
