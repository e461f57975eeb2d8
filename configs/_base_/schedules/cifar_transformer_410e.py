# The longer one of the authors' two schedules: the cosine until epoch 400. Mixup still goes off after epoch 200.
_base_ = ['./cifar_transformer_310e.py']
param_scheduler = [_base_.warm_up, dict(_base_.decay, T_max=400, end=401)]
train_cfg = dict(max_epochs=410)
