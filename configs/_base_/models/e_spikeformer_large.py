# The large E-SpikeFormers, whose authors round half up, and whose classifier reads currents; a config that inherits
# sets arch and the head's in_channels.
_base_ = ['./e_spikeformer.py']
model = dict(
    backbone=dict(arch='12-512', neuron=dict(half_up=True)),
    head=dict(
        _delete_=True,
        type='SpikingLinearHead',
        num_classes=1000,
        in_channels=512,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform')))
