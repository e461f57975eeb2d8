# Blurred distillation from the ViT: the space mean of the restored map against the class token.
_base_ = ['./spikingformer_bkd_cnn.py']
model = dict(
    teacher=dict(model='{{ fileDirname }}/spikingformer_teacher_vit.py',
                 checkpoint='work_dirs/demo_spikingformer/teacher_vit', expected_accuracy=95.5),
    losses=dict(loss_bkd=dict(teacher='backbone', loss_weight=1e-3)))
optim_wrapper = dict(optimizer=dict(lr=1e-2))
work_dir = 'work_dirs/demo_spikingformer/bkd_vit'
