# The same student, distilled by ReviewKD, the best of nine methods here; numbers were searched alike.
_base_ = ['../_base_/pairs/sew-resnet-t4_resnet_fashion-10pct.py', '../_base_/methods/reviewkd.py']
_base_.losses.loss_reviewkd.loss_weight = dict(points=[(0, 1 / 2), (19 / 240, 10.0), (1, 10.0)], by_epoch=True)
model = dict(losses=_base_.losses)
optim_wrapper = dict(optimizer=dict(lr=0.3))
work_dir = 'work_dirs/fashion/sew_resnet_10pct_reviewkd'
