"""Tests that ``make test-long`` runs by themselves, so that the others are done in ten minutes.

Campaigns of damage, and of many of a kind those that take longest; below tests/, with parts of their names.
"""
LONG = {
    'test_apis/test_package.py': ['test_wheel_carries'],
    'test_benchmarks.py': [''],
    'test_checkpoints/test_damaged_files.py': ['test_a_damaged_file'],
    'test_config/test_changed_configs.py': ['test_a_changed_config'],
    'test_configs.py': ['test_experiments_have_the_losses'],
    'test_datasets/test_damaged_data.py': [''],
    'test_docs.py': [
        'test_python_of_the_page_runs[docs/export.md]', 'test_python_of_the_page_runs[docs/extend.md]',
        'test_python_of_the_page_runs[docs/another_task.md]'],
    'test_engine/test_amp.py': ['test_two_hundred_steps'],
    'test_engine/test_kills.py': [
        'test_killed_runs_end_as_if_nothing_had_happened[2]', 'test_killed_processes_are_started_again'],
    'test_engine/test_methods_train.py': ['spikingformer-', 'digits-dvs'],
    'test_engine/test_resumed_settings.py': [
        'test_a_run_goes_on_inside_an_epoch_to_the_bit[0]',
        'test_a_run_goes_on_inside_an_epoch_to_the_bit[2]'],
    'test_engine/test_sharded_training.py': ['test_a_shared_optimizer'],
    'test_engine/test_teacher_cache.py': ['test_the_tool_fills_for_events'],
    'test_evaluation/test_memory.py': ['test_prediction_of_compiled_neurons', 'test_tool_answers_what_fits'],
    'test_export/test_nir.py': ['test_sew_dvs_net_comes_back', 'test_sew_resnet18_comes_back'],
    'test_export/test_program_and_onnx.py': [
        'test_number_of_samples_may_vary', 'test_sew_resnet18_in_onnx',
        'test_every_backbone_runs_as_a_program_and_in_onnx[MetaSpikeFormer]',
        'test_every_backbone_runs_as_a_program_and_in_onnx[QKFormer]',
        'test_every_backbone_runs_as_a_program_and_in_onnx[SEWDVSNet]',
        'test_every_backbone_runs_as_a_program_and_in_onnx[Spikformer]'],
    'test_models/test_compiled_neurons.py': [
        'test_a_parameter_for_each_channel', 'test_all_pieces_run_the_same_code', 'test_every_layout',
        'test_half_precision', 'test_many_steps', 'test_steps_that_go_on', 'test_traced_graphs',
        *(f'test_compiled_equals_eager[LIFNode-{surrogate}]' for surrogate in (
            'ATan', 'PiecewiseQuadratic', 'Rectangular', 'SoftSign', 'Triangular'))],
    'test_models/test_fused_norm_and_compression.py': [
        'test_the_norm_in_the_neurons_pass[BN-True-layout1]', 'test_the_norm_in_the_neurons_pass[BN-False-layout1]',
        'test_the_norm_in_passes_of_a_few_steps'],
    'test_models/test_golden.py': ['test_sew_dvs_net_equals_the_recorded_one'],
    'test_models/test_integer_and_parallel_neurons.py': [
        'is_compiled', '-5]', '[CLIFNode--3]', '-half_up-3]', '[SFANode-norm-3]', '[NILIFNode--3]'],
    'test_models/test_sparse_conv.py': ['test_equals_dense_convolution', 'test_narrow_vectors'],
    'test_models/test_spike_driven.py': ['exported'],
    'test_play/test_playground.py': ['test_answers_on_the_test_data'],
    'test_report/test_report_in_browser.py': [''],
    'test_tools/test_convert_official.py': ['test_every_network_converts'],
    'test_tools/test_dist_train.py': ['test_two_processes_give_the_losses'],
    'test_tools/test_export_tools.py': ['test_student_of_events_is_written_to_onnx'],
    'test_tools/test_more_machines.py': ['test_two_machines', 'test_tasks_of_slurm', 'test_two_runs_at_once'],
    'test_tools/test_tools.py': ['test_tuning_searches'],
}
