# A Spikingformer with one block for 32x32 images: 8x8 tokens.
neuron = dict(
    type='LIFNode',
    tau=2.0,
    decay_input=True,
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='Sigmoid', alpha=4.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikingformer',
        arch=dict(depth=1, channels=64, num_heads=4, patch_size=4),
        T=2,
        neuron=neuron,
        tokenizer='cml',
        in_channels=1),
    head=dict(type='SpikingLinearHead', num_classes=10, in_channels=64))
student_taps = dict(stages=['backbone.tokenizer', 'backbone.blocks.0', 'backbone'])
