# Spikingformer 2-256 for event frames, whose neurons forget faster than those for images.
_base_ = ['./spikingformer.py']
neuron = dict(tau=1.75)
model = dict(
    backbone=dict(arch='2-256', neuron=dict(tau=1.75), in_channels=2), head=dict(num_classes=10, in_channels=256))
