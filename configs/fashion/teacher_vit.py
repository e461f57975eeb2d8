# A small ViT as teacher, trained on all labels: 7x7 tokens and a class token.
_base_ = [
    '../_base_/models/vit_digits.py', '../_base_/datasets/fashion_mnist.py', '../_base_/schedules/fashion_6e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(img_size=28))
train_cfg = dict(max_epochs=30)
param_scheduler = dict(T_max=30)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05))
work_dir = 'work_dirs/fashion/teacher_vit'
