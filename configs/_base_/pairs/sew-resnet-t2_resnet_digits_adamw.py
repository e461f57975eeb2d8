# The same student and teacher; the student is trained by AdamW.
_base_ = 'sew-resnet-t2_resnet_digits.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-2, weight_decay=0.05))
