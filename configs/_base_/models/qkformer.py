# QKFormer; a config that inherits sets arch and the head's in_channels.
_base_ = ['./spikingformer.py']
model = dict(backbone=dict(_delete_=True, type='QKFormer', arch='10-384', T=4, neuron=_base_.neuron))
student_taps = dict(stages=['backbone.stages.0', 'backbone.stages.1', 'backbone'])
