"""What a report is made of: groups, settings, answers, similarity, pictures; small cases by hand."""
import json
import math
import re

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import nn

from bkdsnn.config.differences import describe, differences
from bkdsnn.evaluation import EarlyExit
from bkdsnn.models.teachers import FrozenTeacher, TeacherEnsemble
from bkdsnn.registry import MODELS
from bkdsnn.report.answers import Answers, agreement, collect_answers, confused_pairs, lost_samples
from bkdsnn.report.bench import attempt
from bkdsnn.report.config_diff import settings_of
from bkdsnn.report.costs import measure_costs
from bkdsnn.report.groups import Comparison, Group
from bkdsnn.report.measure import Exit
from bkdsnn.report.over_seeds import Curve, Gain, verdict
from bkdsnn.report.page import TEMPLATES
from bkdsnn.report.pieces import heat_table, plus_minus
from bkdsnn.report.reading import group_runs, read_comparison
from bkdsnn.report.samples import picture, reads_bgr
from bkdsnn.report.sections.learning import term_meanings
from bkdsnn.report.sections.over_time import _exit_row
from bkdsnn.report.sections.settings import settings
from bkdsnn.report.similarity import (
    MAX_STAGES,
    compare_features,
    stage_features,
    stage_paths,
    without_time,
)
from bkdsnn.runs.folders import Run
from bkdsnn.visualization.figures import MARKERS, looks_of
from generated_runs import derive_run, write_log, write_summary
from helpers import demo_config, tiny_cnn, tiny_student

# ---- settings ----


def test_only_settings_that_differ_are_listed():
    plain, mixed = (settings_of(demo_config(name, 'somewhere')) for name in ('plain', 'mixed'))
    found = differences([plain, mixed])
    # The student is the same, although the distillation has it at another place of its config.
    assert set(found) == {'optim_wrapper.optimizer.lr', 'optim_wrapper.clip_grad.max_norm', 'teacher',
                          'losses.loss_bkd', 'losses.loss_wsld'}
    assert found['optim_wrapper.optimizer.lr'] == ['1', '0.1']
    assert found['losses.loss_wsld'] == ['–', 'WSLDLoss(tau=8)']


def test_a_component_that_both_have_is_compared_by_its_arguments():
    mixed, other = demo_config('mixed', 'somewhere'), demo_config('mixed', 'elsewhere')
    other.model.losses.loss_bkd.blur_ratio = 0.3
    assert differences([settings_of(mixed), settings_of(other)]) == {'losses.loss_bkd.blur_ratio': ['0.15', '0.3']}
    assert differences([settings_of(mixed), settings_of(mixed)]) == {}


def test_pipelines_are_chains():
    pipeline = [dict(type='RandomCrop', crop_size=8, padding=1), dict(type='PackInputs')]
    assert describe(pipeline) == 'RandomCrop(crop_size=8, padding=1), then PackInputs()'
    assert describe([1, 2.50]) == '[1, 2.5]'


def test_many_trainings_list_each_value_once_with_all_that_have_it(tmp_path):
    groups = [Group(f'g{i}', [make_run(tmp_path / str(i), lr=lr)]) for i, lr in enumerate((0.1, 0.3, 0.1, 0.1))]
    text = re.sub(r'<[^>]+>', ' ', settings(Comparison(groups, [])).body)
    assert re.search(r'optim_ wrapper\. optimizer\. lr +g0, g2 and g3:  0\.1 +g1:  0\.3', text)
    few = re.sub(r'<[^>]+>', ' ', settings(Comparison(groups[:2], [])).body)
    assert re.search(r'optim_ wrapper\. optimizer\. lr +g0  0\.1 +g1  0\.3', few)
    assert settings(Comparison(groups[:1], [])) is None


# ---- groups ----


def make_run(folder, seed=0, lr=0.1, **options):
    cfg = demo_config('plain', folder, **{'randomness.seed': seed, 'optim_wrapper.optimizer.lr': lr, **options})
    return Run(folder, Config(cfg.to_dict()))


@pytest.mark.parametrize('own, compares', [({}, True), (dict(loss_cls=dict(type='TETLoss')), False),
                                           (dict(loss_cls=dict(loss_weight=0.5)), False), (dict(loss_cls=None), False)])
def test_own_losses_are_compared_only_where_no_method_changes_them(tmp_path, own, compares):
    cfg = demo_config('mixed', tmp_path)
    cfg.model.losses.update(own)
    write_log(tmp_path, [dict(epoch=1, iter=1, step=1, loss=3.0, loss_cls=2.0, loss_bkd=1.0)])
    group = Group('g', [Run(tmp_path, cfg)])
    assert (group.own_loss() is not None) == compares
    meaning = term_meanings(['loss_cls'], group.losses)
    assert ('TETLoss, in place of' in meaning) == ('type' in (own.get('loss_cls') or {}))


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
    runs = [make_run(tmp_path / 'a' / 'seed1', 1), make_run(tmp_path / 'b', 0, lr=0.3),
            make_run(tmp_path / 'a' / 'seed0', 0), make_run(tmp_path / 'again', 0, lr=0.3)]
    found = group_runs(runs)
    # The same seed twice is no second seed.
    assert [[run.folder.name for run in group.runs] for group in found] == [['seed0', 'seed1'], ['b'], ['again']]
    assert [group.lr for group in found] == [0.1, 0.3, 0.3]


def test_runs_without_a_seed_are_not_grouped(tmp_path):
    assert len(group_runs([make_run(tmp_path / name, None) for name in ('a', 'b')])) == 2


@pytest.mark.parametrize('folders, names', [
    ((('x', 'seed0', 1.0), ('x', 'seed1', 1.0), ('y', 'seed0', 2.0)), ['x', 'y']),
    ((('x', 'blur_s0', 1.0), ('x', 'blur_s1', 1.0), ('y', 'sharp', 2.0)), ['blur', 'sharp']),
    ((('x', 'demo', 1.0), ('y', 'demo', 2.0)), ['x/demo', 'y/demo']),
    ((('x', 'plus1', 1.0), ('x', 'plus2', 1.0)), ['plus']),
    ((('x', 'seed0', 1.0), ('x', 'seed1', 2.0)), ['x/seed0', 'x/seed1']),
])
def test_groups_get_short_names_of_their_own(tmp_path, small_comparison, folders, names):
    paths = []
    for seed, (*parts, lr) in enumerate(folders):
        paths.append(tmp_path.joinpath(*parts))
        derive_run(small_comparison / 'plain' / 'seed0', paths[-1], seed, **{'optim_wrapper.optimizer.lr': lr})
    assert [group.name for group in read_comparison(paths).groups] == names


def test_first_without_a_teacher_is_the_baseline_unless_one_is_plain(small_comparison):
    mixed, plain = small_comparison / 'mixed' / 'seed0', small_comparison / 'plain' / 'seed0'
    comparison = read_comparison([mixed, plain])
    assert comparison.baseline.name == 'plain' and comparison.main.name == comparison.focus.name == 'mixed'
    alone = read_comparison([mixed])
    assert alone.baseline.name == alone.focus.name == 'mixed' and alone.main is None


def test_folder_without_a_summary_gives_all_its_runs_but_not_their_teacher(tmp_path, small_comparison, small_teacher):
    (tmp_path / 'plain').symlink_to(small_comparison / 'plain')
    for name, source in (('mixed', small_comparison / 'mixed' / 'seed0'), ('teacher', small_teacher)):
        (tmp_path / name).mkdir()
        for path in source.iterdir():
            (tmp_path / name / path.name).symlink_to(path)
    run = Run.open(tmp_path / 'mixed')
    (tmp_path / 'mixed' / 'mixed.py').unlink()
    run.config.model.teacher.checkpoint = str(tmp_path / 'teacher')
    run.config.dump(str(tmp_path / 'mixed' / 'mixed.py'))
    found = read_comparison([tmp_path])
    assert [(group.name, len(group.runs)) for group in found.groups] == [('plain', 2), ('mixed', 1)]


def test_gain_pairs_the_seeds_that_both_have():
    plain = Group('plain', accuracy={0: 80.0, 1: 82.0, 2: 90.0})
    mixed, other = Group('mixed', accuracy={1: 85.0, 2: 91.0, 7: 0.0}), Group('other', accuracy={9: 99.0})
    comparison = Comparison([plain, mixed, other], [])
    assert comparison.gain(mixed).differences == [3.0, 1.0]
    assert comparison.gain(plain) is None and comparison.gain(other) is None


@pytest.mark.parametrize('differences, words', [
    ([1.0, 1.2, 1.1], 'better than plain'),
    ([-1.0, -1.2, -1.1], 'worse than plain'),
    ([1.0, -1.2, 0.1], 'do not tell it from plain'),
    ([5.0], 'one seed'),
])
def test_verdict_follows_the_numbers(differences, words):
    assert words in verdict('mixed', 90.0, Gain(differences), 'plain')


def test_curves_are_means_over_seeds_at_the_points_that_all_have(tmp_path):
    assert Curve.stack([{1: [2.0, 4.0], 2: [1.0]}, {1: [5.0], 3: [0.0]}]).values.tolist() == [[3.0], [5.0]]
    assert Curve.stack([{1: [2.0]}, {2: [1.0]}]) is None and Curve.stack([]) is None
    lines = [dict(loss_cls=loss, epoch=2, step=step, iter=step) for loss, step in ((4.0, 3), (2.0, 4))]
    write_log(tmp_path, lines)
    curve = Group('plain', [Run(tmp_path, Config())]).train_curve('loss_cls')
    assert curve.x.tolist() == [2] and curve.values.tolist() == [[3.0]]


# ---- answers ----

LABELS = torch.tensor([0, 1, 2, 2, 1])
ANSWERS = Answers(torch.eye(3)[[0, 2, 2, 1, 2]][None] * 5, LABELS)
TEACHER = Answers(torch.eye(3)[[0, 1, 1, 2, 1]][None] * torch.tensor([1.0, 2.0, 1.0, 9.0, 4.0])[:, None], LABELS)


def test_confusion_by_hand():
    assert ANSWERS.confusion.tolist() == [[1, 0, 0], [0, 0, 2], [0, 1, 1]] and ANSWERS.accuracy == 40
    assert confused_pairs(ANSWERS.confusion, 5) == [(1, 2, 2), (2, 1, 1)]
    assert confused_pairs(ANSWERS.confusion, 1) == [(1, 2, 2)]
    assert confused_pairs(torch.eye(3).long(), 5) == []


def test_lost_samples_come_by_the_teachers_confidence():
    assert agreement(ANSWERS, TEACHER) == dict(both=1, student=1, teacher=3, neither=0)
    assert lost_samples(ANSWERS, TEACHER, 5) == [3, 4, 1] and lost_samples(ANSWERS, TEACHER, 1) == [3]


def test_answers_of_all_networks_come_from_one_pass():
    batches = [dict(inputs=torch.randn(2, 3), data_samples=[DataSample().set_gt_label(i) for i in (0, 1)]),
               dict(inputs=torch.randn(1, 3), data_samples=[DataSample().set_gt_label(2)])]
    asked = []
    found = collect_answers(
        {'a': lambda data: data['inputs'][None], 'b': lambda data: data['inputs'][None].repeat(2, 1, 1)},
        (asked.append(data) or data for data in batches))
    assert len(asked) == 2 and found['a'].labels.tolist() == [0, 1, 2]
    assert torch.equal(found['a'].logits[0], torch.cat([data['inputs'] for data in batches]))
    assert found['b'].logits.shape == (2, 3, 3)


# ---- similarity ----


def test_stages_of_students_and_teachers():
    student = MODELS.build(tiny_student())
    assert stage_paths(student) == ['backbone.stem', 'backbone.layer1', 'backbone.layer2', 'head']
    vit = timm.create_model('vit_tiny_patch16_224', depth=12)
    found = stage_paths(vit)
    assert len(found) == MAX_STAGES and found[0] == 'patch_embed' and found[-1] == 'head' and 'blocks.1' in found
    assert stage_paths(tiny_cnn()) == ['stage1.0', 'stage2.0', 'fc']


def test_stage_features_are_the_time_means_in_order():
    student = MODELS.build(tiny_student(T=3)).eval()
    x = torch.randn(5, 1, 8, 8)
    features = stage_features(student, x)
    assert list(features) == stage_paths(student)
    with torch.no_grad():
        stages = student.backbone(x)
        torch.testing.assert_close(features['head'], student(x).mean(0))
    torch.testing.assert_close(features['backbone.layer2'], stages[-1].mean(0))


def test_features_of_as_many_samples_as_steps_are_not_mixed_up():
    student = MODELS.build(tiny_student(T=4)).eval()
    x = torch.randn(4, 1, 8, 8)
    whole, part = stage_features(student, x), stage_features(student, x[:3])
    for path, feature in part.items():
        torch.testing.assert_close(whole[path][:3], feature)


def test_stages_that_work_in_place_are_kept_as_they_were():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3), nn.Flatten(),
                            nn.Linear(32, 3)).eval()
    features = stage_features(network, torch.randn(6, 1, 8, 8))
    assert list(features) == ['0', '2', '4'] and (features['0'] < 0).any()


def test_time_is_averaged_wherever_it_is():
    x = torch.randn(3, 5, 2)
    assert torch.equal(without_time(x, 5, 3), x.mean(0)) and torch.equal(without_time(x.flatten(0, 1), 5, 3), x.mean(0))
    assert torch.equal(without_time(x[0], 5, None), x[0]) and without_time(x, 4, 3) is None


def test_the_teachers_stages_are_compared_on_its_own_input():
    distiller = distilled_by(FrozenTeacher(tiny_cnn()))
    data = dict(inputs=torch.randint(0, 256, (9, 1, 8, 8)).float(), data_samples=[DataSample()] * 9)
    found = compare_features(distiller.student, distiller, [data, data])
    assert found.rows == ['stem', 'layer1', 'layer2', 'head'] and found.columns == ['stage1.0', 'stage2.0', 'fc']
    assert found.cka.shape == (4, 3) and found.samples == 18
    few = dict(inputs=data['inputs'][:3], data_samples=data['data_samples'][:3])
    with pytest.raises(ValueError, match='at least 4 samples'):
        compare_features(distiller.student, distiller, [few])


def distilled_by(teacher, logits='fc'):
    losses = dict(loss_kd=dict(type='LogitsKDLoss', student='head', teacher=logits, tau=2.0))
    return MODELS.build(dict(type='Distiller', student=tiny_student(), teacher=teacher, input_shape=(1, 8, 8),
                             losses=losses)).eval()


def test_teachers_of_another_precision_are_measured_and_several_say_why_not():
    data = dict(inputs=torch.randint(0, 256, (9, 1, 8, 8)).float(), data_samples=[DataSample()] * 9)
    half = distilled_by(FrozenTeacher(tiny_cnn(), dtype='bfloat16', emulate=True))
    assert compare_features(half.student, half, [data]).cka[0].isfinite().all()
    costs = measure_costs(dict(student=half.student), half, [data])
    assert costs.teacher.energy > 0 and costs.students['student'].samples == 9
    several = distilled_by(TeacherEnsemble(dict(a=FrozenTeacher(tiny_cnn()), b=FrozenTeacher(tiny_cnn()))), 'average')
    assert measure_costs(dict(student=several.student), several, [data]).teacher is None
    with pytest.raises(ValueError, match='several networks teach together'):
        compare_features(several.student, several, [data])


@pytest.mark.parametrize('do, reason', [
    (lambda: open('nowhere'), r"\[Errno 2\] No such file or directory: 'nowhere'"),
    (lambda: {}['key'], 'key'), (lambda: [].remove(1), r'list.remove\(x\): x not in list'),
    (lambda: next(iter([])), 'StopIteration')])
def test_what_cannot_be_measured_says_why(do, reason):
    assert re.fullmatch(reason, attempt(do))


# ---- the page's pieces ----


def test_pictures_of_images_and_events():
    image = torch.zeros(3, 4, 6, dtype=torch.uint8)
    image[0] = 255  # the first channel: red, or blue where images are read as BGR
    assert picture(image, bgr=False)[0, 0].tolist() == [255, 0, 0, 255]
    assert picture(image, bgr=True)[0, 0].tolist() == [0, 0, 255, 255]
    frames = torch.zeros(4, 2, 5, 7)
    frames[:, 1, 2, 3] = 1
    drawn = picture(dict(student=frames, teacher=frames.repeat(4, 1, 1, 1)), bgr=False)
    assert drawn.shape == (5, 7, 4) and drawn[0, 0].tolist() == [255] * 4 and drawn[2, 3].tolist() != [255] * 4


@pytest.mark.parametrize('stated, dataset, bgr', [
    (None, 'ImageFolder', True), (None, 'mmpretrain.CIFAR10', False), (None, 'CIFAR10', True),
    ('rgb', 'ImageFolder', False), ('bgr', 'mmpretrain.CIFAR10', True)])
@pytest.mark.parametrize('to_rgb', [False, True])
def test_images_are_bgr_unless_the_data_or_the_preprocessor_say_otherwise(stated, dataset, bgr, to_rgb):
    config = demo_config('mixed', 'somewhere')
    config.data_preprocessor.update(to_rgb=to_rgb, channel_order=stated)
    config.test_dataloader.dataset = dict(type=dataset)
    assert reads_bgr(Run('x', config)) == bgr


def test_looks_differ_and_known_methods_keep_theirs():
    looks = looks_of(['plain', 'mine', 'other', 'mixed'])
    assert looks['plain'].colour == looks_of(['plain'])['plain'].colour
    assert len({look.colour for look in looks.values()}) == len({look.marker for look in looks.values()}) == 4
    assert set(MARKERS) >= {look.marker for look in looks.values()}


def luminance(rgb):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055)**2.4 for c in np.asarray(rgb) / 255]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('paper, heat, colours', [
    ((255, 255, 255), (0, 114, 178), dict(low=(0, 0, 0), half=(0, 0, 0), high=(255, 255, 255))),
    ((21, 23, 26), (86, 180, 233), dict(low=(255, 255, 255), half=(0, 0, 0), high=(0, 0, 0))),
])
def test_numbers_in_heat_maps_can_be_read(paper, heat, colours):
    template = TEMPLATES.get_template('page.html').render(title='', subtitle='', sections=[])
    assert '--heat-rgb: {} {} {};'.format(*heat) in template
    strength = np.linspace(0, 1, 101)[None]
    text = heat_table(['row'], ['x'] * 101, strength, [['1'] * 101], '', '')
    cells = re.findall(r'<td class="(\w+)" style="--heat:([\d.]+)">1</td>', text)
    assert len(cells) == 101
    for shade, value in cells:
        mixed = float(value) * np.array(heat) + (1 - float(value)) * np.array(paper)
        assert contrast(mixed, colours[shade]) > 4.5, (shade, value)


def test_missing_numbers_are_not_coloured():
    assert '--heat:0.00' in heat_table(['a'], ['b'], np.array([[math.nan]]), [['–']], '', '')
    assert plus_minus('1.00', None) == '1.00' and plus_minus('1.00', 0.5).split() == ['1.00', '±', '0.50']


def test_folders_of_seeds_that_a_summary_does_not_have_are_left_alone(tmp_path, small_comparison):
    for seed in (0, 1, 4):
        derive_run(small_comparison / 'plain' / 'seed0', tmp_path / 'plain' / f'seed{seed}', seed)
    entry = dict(accuracy=[80.0, 82.0, 83.0], seeds=[0, 1, 2], lr=0.3)
    (tmp_path / 'summary.json').write_text(json.dumps(dict(methods=dict(plain=entry))))
    (group, ) = read_comparison([tmp_path]).groups
    assert [run.seed for run in group.runs] == [0, 1] and group.accuracy == {0: 80.0, 1: 82.0, 2: 83.0}


def test_a_confidence_that_few_seeds_have_says_so():
    exits = [Exit(EarlyExit(threshold, 90.0, 1.5), 91.0) for threshold in (0.9, math.inf, math.inf)]
    assert _exit_row('mixed', exits)[1] == '0.900 (1 of 3 seeds)'
    assert _exit_row('mixed', exits[1:])[1] == 'never' and _exit_row('mixed', exits[:1])[1] == '0.900'


def test_summary_without_runs_names_path_and_command(tmp_path):
    write_summary(tmp_path, plain=[81.25])
    with pytest.raises(FileNotFoundError, match=r'plain.*seed0.*make demo'):
        read_comparison([tmp_path])


@pytest.mark.parametrize('text', ['{"methods"', '{}', '[]', '{"methods": {"mixed": {"accuracy": ["?"]}}}'])
def test_damaged_summary_is_named(tmp_path, text):
    (tmp_path / 'summary.json').write_text(text)
    with pytest.raises(ValueError, match=r'summary\.json.*make demo'):
        read_comparison([tmp_path])


def test_run_without_a_checkpoint_names_the_command(tmp_path, small_comparison):
    derive_run(small_comparison / 'plain' / 'seed0', tmp_path / 'run')
    for path in tmp_path.glob('run/*checkpoint*'):
        path.unlink()
    for path in tmp_path.glob('run/*.pth'):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r'no checkpoint yet.*tools/train\.py'):
        read_comparison([tmp_path / 'run'])
