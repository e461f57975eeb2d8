# The Spikingformer of the digits with 4 time steps: 7x7 tokens of 28x28 images.
_base_ = ['./spikingformer_digits.py']
model = dict(backbone=dict(T=4))
