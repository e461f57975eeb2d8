# The longer one of the authors' two schedules: the cosine until epoch 400. Mixup still goes off after epoch 200.
_base_ = ['./cifar_transformer_310e.py']
param_scheduler = dict(T_max=400)
train_cfg = dict(max_epochs=410)
