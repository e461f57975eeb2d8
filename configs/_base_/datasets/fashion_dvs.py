# Fashion-MNIST before a simulated event camera of 34x34 pixels; frames of equally many events, kept in
# data/fashion_mnist/cache. For two framings see digits_dvs.py.
_base_ = ['./digits_dvs.py']
dataset_type = 'FashionMNISTDVS'
data_root = 'data/fashion_mnist'
data_preprocessor = dict(size=None)
augment = [*_base_.augment, dict(type='RandomFrameFlip')]
train_pipeline = [_base_.student_frames, *augment, dict(type='PackEvents')]
views_train_pipeline = [_base_.both_frames, *augment, dict(type='PackEvents')]
teacher_train_pipeline = [_base_.teacher_frames, *augment, dict(type='PackEvents')]
views_shape = dict(student=(4, 2, 34, 34), teacher=(16, 2, 34, 34))

files = dict(type=dataset_type, data_root=data_root, cache_dir='cache')
train_dataloader = dict(batch_size=128, dataset=dict(**files, pipeline=train_pipeline))
val_dataloader = dict(dataset=files)
test_dataloader = dict(dataset=files)
