# Meta-SpikeFormer, which classifies the spikes of a last neuron; a config that inherits sets arch and the head's
# in_channels.
_base_ = ['./spikingformer.py']
model = dict(
    backbone=dict(_delete_=True, type='MetaSpikeFormer', arch='8-384', T=4, neuron=_base_.neuron),
    head=dict(in_channels=480, neuron=_base_.neuron))
student_taps = dict(stages=['backbone.stages.1', 'backbone.stages.2', 'backbone'])
