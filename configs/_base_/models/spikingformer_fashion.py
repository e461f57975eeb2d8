# The Spikingformer of the digits with 4 time steps and half the channels: 7x7 tokens of 28x28 images.
_base_ = ['./spikingformer_digits.py']
model = dict(backbone=dict(T=4, arch=dict(channels=32)), head=dict(in_channels=32), channels_last=True)
