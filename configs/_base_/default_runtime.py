default_scope = 'bkdsnn'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Two are kept, in case the newer one is damaged later.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Of several processes, all have the same batch norms when they validate and save.
    sync_buffers=dict(type='SyncBuffersHook'),
    resume_check=dict(type='ResumeCheckHook'),
    checkpoint_check=dict(type='CheckpointCheckHook'),
    weights_guard=dict(type='WeightsGuardHook'),
    dead_block=dict(type='DeadBlockHook'),
    # For model.teacher_cache.
    teacher_cache=dict(type='TeacherCacheHook'),
    visualization=dict(type='mmpretrain.VisualizationHook', enable=False))
custom_hooks = [dict(type='EpochSeedHook'), dict(type='LossGuardHook'), dict(type='TeacherCheckHook')]

env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
               dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SpikeVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
