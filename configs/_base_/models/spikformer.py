# Spikformer with the CML tokenizer; a config that inherits sets arch and the head's in_channels.
_base_ = ['./spikingformer.py']
model = dict(backbone=dict(type='Spikformer'))
