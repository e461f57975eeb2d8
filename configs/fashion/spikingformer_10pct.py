# The same on a tenth of the labels, 550 per class, in a third of the time.
_base_ = ['./spikingformer.py']
train_dataloader = dict(dataset=dict(labels_per_class=550))
train_cfg = dict(max_epochs=20, val_interval=5)
param_scheduler = dict(T_max=20)
work_dir = 'work_dirs/fashion/spikingformer_10pct'
