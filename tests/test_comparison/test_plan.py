"""Which runs are the same, and what is tuned."""
import pytest
from mmengine.config import Config

from bkdsnn.comparison.identity import config_hash
from bkdsnn.comparison.origin import teachers_of
from bkdsnn.comparison.plan import Plan
from bkdsnn.comparison.tuning import Tuning
from bkdsnn.config.data import same_source
from bkdsnn.config.methods import find_pair, methods
from bkdsnn.config.neurons import neurons
from bkdsnn.models.neurons import SpikingNode
from bkdsnn.registry import MODELS
from helpers import DEMO

PAIR = 'sew-resnet-t2_resnet_digits'
EVENTS = 'sew-resnet-t4_sew-resnet-t16_digits-dvs'
LR = 'optim_wrapper.optimizer.lr'


def entry(method, **options):
    (found, ) = Plan(PAIR, (str(method), ), 'unused', options=options).entries()
    return found


def start(found):
    return {axis.key: axis.start for axis in found.axes}


@pytest.mark.parametrize('changes', [
    {'work_dir': '/elsewhere'}, {'randomness.seed': 7}, {'model.teacher.checkpoint': '/mine/epoch_3.pth'},
    {'model.teacher.model': '/another/checkout/teacher.py'}, {'train_dataloader.pin_memory': True},
    {'default_hooks.logger.interval': 1}, {'train_cfg.val_interval': 1}])
def test_places_and_seeds_are_no_part_of_the_hash(changes):
    cfg = entry('kd').config
    changed = Config(cfg.to_dict())
    changed.merge_from_dict(changes)
    assert config_hash(changed) == config_hash(cfg)


@pytest.mark.parametrize('changes', [
    {LR: 0.2}, {'model.losses.loss_kd.tau': 3.0}, {'train_cfg.max_epochs': 3}, {'model.student.backbone.T': 3},
    {'train_dataloader.dataset.labels_per_class': 5}, {'model.teacher.model': '/another/resnet.py'},
    {'optim_wrapper.clip_grad.max_norm': 1.0}, {'load_from': '/runs/a/epoch_1.pth'}])
def test_what_changes_figures_changes_the_hash(changes):
    cfg = entry('kd').config
    changed = Config(cfg.to_dict())
    changed.merge_from_dict(changes)
    assert config_hash(changed) != config_hash(cfg)


def test_weights_to_start_from_are_told_apart_by_their_path_and_by_what_starts_anew():
    cfg = entry('kd').config
    hashes = set()
    for changes in ({'load_from': '/runs/a/epoch_1.pth'}, {'load_from': '/runs/b/epoch_1.pth'},
                    {'load_from': '/runs/b/epoch_1.pth', 'default_hooks.checkpoint_check.new': ['head']}):
        changed = Config(cfg.to_dict())
        changed.merge_from_dict(changes)
        hashes.add(config_hash(changed))
    for folder in 'ab':
        changed = Config(cfg.to_dict())
        changed.model.student.init_cfg = dict(type='Pretrained', checkpoint=f'/runs/{folder}/epoch_1.pth')
        hashes.add(config_hash(changed))
    assert len(hashes) == 5


@pytest.mark.parametrize('method', ['plain', *methods()])
def test_every_method_is_tuned_by_its_learning_rate_and_a_number_of_its_own(method):
    found = entry(method)
    assert found.axes[0].key == LR
    assert 2 <= len(found.axes) <= 3 or method == 'plain' and len(found.axes) == 1
    assert len({found.run(found.point(place), 0, 'val').key for place in
                [(0.0, ) * len(found.axes), (1.0, ) * len(found.axes)]}) == 2


def test_plain_is_the_student_alone_on_the_same_data_and_schedule():
    plain, kd = entry('plain').config, entry('kd').config
    assert plain.model == {**kd.model.student, 'data_preprocessor': kd.data_preprocessor}
    assert plain.train_dataloader == kd.train_dataloader and plain.optim_wrapper == kd.optim_wrapper


def test_point_is_what_the_run_gets_and_a_schedule_is_scaled():
    found = entry('dkd', **{LR: 0.3})
    assert start(found) == {LR: 0.3, 'model.losses.loss_kd.beta': 8.0}
    cfg = found.run({LR: 1.0, 'model.losses.loss_kd.beta': 16.0}, 5, 'test').config('out')
    assert cfg.optim_wrapper.optimizer.lr == 1.0 and cfg.model.losses.loss_kd.beta == 16.0
    assert cfg.randomness.seed == 5
    review = entry('reviewkd')
    points = review.config_at({'model.losses.loss_reviewkd.loss_weight': 3.0}).model.losses.loss_reviewkd.loss_weight
    assert [value for _, value in points.points] == pytest.approx([0.15, 3.0, 3.0]) and points.by_epoch


def test_a_method_without_a_search_is_tuned_by_its_temperature_or_weight(tmp_path):
    for name, losses, key in (('first', "loss_mine=dict(type='WSLDLoss', tau=4.0, loss_weight=2.0)", 'loss_mine.tau'),
                              ('second', "loss_mine=dict(type='ATLoss', loss_weight=2.0)", 'loss_mine.loss_weight')):
        (tmp_path / f'{name}.py').write_text(f'losses = dict(loss_cls=None, {losses})')
        found = entry(tmp_path / f'{name}.py')
        assert found.name == name and [axis.key for axis in found.axes] == [LR, f'model.losses.{key}']


@pytest.mark.parametrize('search, words', [
    ("[dict(key='losses.loss_kd.alpha', factor=2)]", 'loss_kd.alpha is to be tuned, but the config does not have it'),
    ("[dict(key='losses.loss_kd.type', factor=2)]", "type='LogitsKDLoss' is to be tuned, but is no positive number")])
def test_search_for_what_is_no_number_is_an_error(tmp_path, search, words):
    (tmp_path / 'mine.py').write_text(f"losses = dict(loss_kd=dict(type='LogitsKDLoss', tau=2.0))\nsearch = {search}")
    with pytest.raises(ValueError, match=words):
        entry(tmp_path / 'mine.py')


def test_the_search_does_not_see_the_test_split():
    cifar = dict(pair='spikformer-4-384-t4_vit-small_1xb64-310e_cifar10', methods=('kd', ), out='unused')
    with pytest.raises(ValueError, match='validates on its test data, which the search must not see'):
        Plan(**cifar).entries()
    assert len(Plan(**cifar, points=0).entries()) == 1
    with pytest.raises(ValueError, match='validates on its test data'):  # on half of them
        Plan(**cifar, options={'val_dataloader.dataset.indices': -5000}).entries()
    held_out = {'train_dataloader.dataset.indices': 45000, 'val_dataloader.dataset.split': 'train',
                'val_dataloader.dataset.indices': -5000}
    (found, ) = Plan(**cifar, options=held_out).entries()
    tested = found.config.test_dataloader.dataset
    assert tested.split == 'test' and 'indices' not in tested


@pytest.mark.parametrize('pair, steps', [(PAIR, 2), (EVENTS, 4)])
def test_each_method_is_compared_with_each_neuron(pair, steps):
    found = {one.name: one.config for one in Plan(pair, ('plain', 'kd'), 'unused', neurons=tuple(neurons())).entries()}
    assert len(found) == 2 * len(neurons()) and {'lif-plain', 'lif-kd', 'psn-plain'} <= set(found)
    assert len({config_hash(cfg) for cfg in found.values()}) == len(found)
    for name, cfg in found.items():
        student = cfg.model.get('student', cfg.model)
        node = MODELS.build(student.backbone.neuron)
        expected = 1 if name.startswith('ilif') else steps
        assert isinstance(node, SpikingNode) and node.time_steps in (None, student.backbone.T, expected)
        frames = cfg.train_dataloader.dataset.pipeline[0].get('student', {}).get('time_steps')
        assert (student.backbone.T if pair == PAIR else frames) == expected
        if pair == EVENTS and 'student' in cfg.model:
            assert cfg.model.input_shape == dict(student=(expected, 2, 10, 10), teacher=(16, 2, 10, 10))
            MODELS.build(cfg.model.student.backbone)


@pytest.mark.parametrize('pair, neuron', [
    ('maxformer-4-384-t4_vit-small_1xb64-410e_cifar10', 'ilif'),
    ('maxformer-4-384-t4_vit-small_1xb64-410e_cifar10', 'psn'),
    ('sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_cifar10-dvs', 'glif')])
def test_heads_have_the_neuron_too_and_backbones_without_T_get_none(pair, neuron):
    (found, ) = Plan(pair, ('plain', ), 'unused', points=0, neurons=(neuron, )).entries()
    model = found.config.model
    nodes = [module for module in MODELS.build(model).modules() if isinstance(module, SpikingNode)]
    assert {type(node) for node in nodes} == {MODELS.get(model.backbone.neuron.type)}
    assert ('T' in model.backbone) == pair.startswith('maxformer')


def test_neuron_of_ones_own_and_errors(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'my_parts.py').write_text('')
    (tmp_path / 'mine.py').write_text("neuron = dict(type='PSNNode', T=None, surrogate=dict(type='ATan', alpha=3.0))\n"
                                      'time_steps = 3\ncustom_imports = dict(imports="my_parts")')
    (found, ) = Plan(PAIR, ('plain', ), 'unused', neurons=(str(tmp_path / 'mine.py'), )).entries()
    assert found.config.custom_imports.imports == ['my_parts']
    assert found.name == 'mine-plain' and found.config.model.backbone.T == found.config.model.backbone.neuron.T == 3
    (tmp_path / 'none.py').write_text('T = 3')
    for name, words in (('clf', "--neurons clf: Did you mean 'clif'?"), (tmp_path / 'none.py', 'has no neuron = dict')):
        with pytest.raises(ValueError, match=words):
            Plan(PAIR, ('plain', ), 'unused', neurons=(str(name), )).entries()
    with pytest.raises(ValueError, match="the neuron 'lif' is named twice"):
        Plan(PAIR, ('plain', ), 'unused', neurons=('lif', 'lif'))


@pytest.mark.parametrize('fails, chosen', [(False, 0.1), (True, 0.03)])
def test_the_best_points_get_more_seeds_before_one_is_chosen(fails, chosen):
    """The point that is best by its first seed had luck."""
    plan = Plan(PAIR, ('plain', ), 'unused', points=4, tune_seeds=1, finalists=2, final_seeds=3)
    tuning, lines, seeds = Tuning(plan, plan.entries()[0]), {}, {}
    assert tuning.total() == 4 * 1 + 2 * 3

    def line(rate, seed):
        if fails and rate == 0.1 and seed == 102:
            return dict(status='failed', reason='the loss is not finite')
        return dict(status='finished', accuracy={0.1: 90.0, 0.03: 95.0 if seed == 100 else 87.0}.get(rate, 70.0))

    while tasks := tuning.open_tasks(lines):
        assert tuning.choice is None and not tuning.ended
        for task in tasks:
            seeds.setdefault(task.point[LR], []).append(task.seed)
            lines[task.key] = line(task.point[LR], task.seed)
    assert {rate for rate in seeds if seeds[rate] == [100, 101, 102, 103]} == {0.1, 0.03}
    assert sorted(map(len, seeds.values())) == [1, 1, 4, 4]
    assert {task.key for task in tuning.all_tasks(lines)} == set(lines) and len(lines) == tuning.total()
    assert tuning.choice.point == {LR: chosen} and tuning.choice.accuracy == (90.0 if chosen == 0.1 else 89.0)
    assert tuning.reasons == ['the loss is not finite'] * fails
    assert Tuning(plan, plan.entries()[0]).open_tasks(lines) == []  # another process sees the same


def test_points_that_fail_with_more_seeds_make_way_for_others():
    """Each point fails with its second seed but the worst one, or that too."""
    plan = Plan(PAIR, ('plain', ), 'unused', points=4, tune_seeds=1, finalists=2, final_seeds=2)
    for survivor in (True, False):
        tuning, lines, seen = Tuning(plan, plan.entries()[0]), {}, []
        while tasks := tuning.open_tasks(lines):
            for task in tasks:
                rate = task.point[LR]
                seen += [rate] * (rate not in seen)
                fails = task.seed == 101 and not (survivor and rate == seen[0])
                lines[task.key] = dict(status='failed', reason='it fell apart') if fails else dict(
                    status='finished', accuracy=50.0 + 10 * seen.index(rate))
        assert tuning.ended and len(tuning.finals) == 4 and len(lines) == tuning.total() == 4 * 3
        assert {task.key for task in tuning.all_tasks(lines)} == set(lines)
        assert tuning.choice.point == {LR: seen[0]} if survivor else tuning.choice is None
        again = Tuning(plan, plan.entries()[0])
        assert again.open_tasks(lines) == [] and again.ended and again.choice == tuning.choice


def test_the_record_of_a_search_follows_its_scores(tmp_path):
    optuna = pytest.importorskip('optuna')
    plan = Plan(PAIR, ('plain', ), 'unused', points=3, tune_seeds=1)
    (found, ), storage, lines = plan.entries(), f'sqlite:///{tmp_path}/studies.db', {}
    tuning = Tuning(plan, found)
    for task in tuning.open_tasks(lines):
        lines[task.key] = dict(status='failed', reason='no memory')
    tuning.update(lines)
    tuning.record(storage)
    lines = {key: dict(status='finished', accuracy=80.0) for key in lines}
    for _ in range(2):
        tuning = Tuning(plan, found)
        tuning.update(lines)
        tuning.record(storage)
    (study, ) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
    assert [trial.value for trial in trials] == [80.0] * 3 and all(trial.state.name == 'COMPLETE' for trial in trials)


def test_a_search_elsewhere_starts_from_the_numbers_there_and_does_not_see_the_test_data(tmp_path):
    other = tmp_path / 'other.py'
    other.write_text(f"_base_ = ['{find_pair(PAIR)}']\noptim_wrapper = dict(optimizer=dict(lr=0.7))")
    plan = Plan(PAIR, ('kd', ), 'unused', tune_on=str(other), points=1, tune_seeds=1)
    (found, ) = plan.entries()
    tuning = Tuning(plan, found)
    (task, ) = tuning.open_tasks({})
    assert task.point[LR] == 0.7 and start(found)[LR] != 0.7 and task.entry.pair == 'other' and found.pair == PAIR
    other.write_text(other.read_text() + "\nval_dataloader = dict(dataset=dict(split='test'))"
                     "\ntest_dataloader = dict(dataset=dict(split='val'))")
    with pytest.raises(ValueError, match=f'validates on the test data of {PAIR}'):
        plan.entries()


def test_a_pair_that_searches_elsewhere_may_validate_on_its_test_data():
    cifar = dict(pair='spikformer-4-384-t4_vit-small_1xb64-310e_cifar10', methods=('kd', ), out='unused')
    assert len(Plan(**cifar, tune_on='sew-resnet-t4_resnet_fashion').entries()) == 1
    with pytest.raises(ValueError, match='cifar10 validates on its test data, which the search must not see'):
        Plan(PAIR, ('kd', ), 'unused', tune_on=cifar['pair']).entries()


@pytest.mark.parametrize('indices, others, same', [
    (range(10), range(10, 20), False), ([1, 2], [2, 3], True), (10, -10, False), (10, 20, True), (None, -10, True),
    ([1, 2], 10, True)])
def test_parts_of_a_data_set_that_share_no_sample_are_told_apart(indices, others, same):
    a, b = dict(type='ImageFolder', data_root='mine', indices=indices), dict(type='ImageFolder', data_root='mine')
    assert same_source(a, dict(b, indices=others)) == same_source(dict(b, indices=others), a) == same
    assert not same_source(a, dict(b, data_root='other'))


def test_a_method_that_asks_no_teacher_has_none_in_its_line():
    weights = {'model.teacher.checkpoint': str(DEMO / 'weights' / 'teacher-1b5d4f7b.pth')}
    assert teachers_of(entry('kd', **weights).config) == ['1b5d4f7b']
    assert teachers_of(entry('tet', **weights).config) == teachers_of(entry('plain', **weights).config) == []


BLUR, WEIGHT = 'losses.loss_bkd.blur_ratio', 'losses.loss_bkd.loss_weight'


def test_values_are_compared_with_each_other_and_what_is_varied_is_not_tuned():
    plan = Plan(PAIR, ('plain', 'kd', 'bkd', 'mixed'), 'unused', vary={BLUR: (0.0, 0.5), LR: (0.1, 0.3)},
                options={'train_cfg.max_epochs': 2})
    found = {one.name: one for one in plan.entries()}
    names = [f'{method}{blur} lr={lr}' for method, blurs in (
        ('plain', ['']), ('kd', ['']), *((name, [' blur_ratio=0', ' blur_ratio=0.5']) for name in ('bkd', 'mixed')))
        for blur in blurs for lr in (0.1, 0.3)]
    assert sorted(found) == sorted(names)
    one = found['mixed blur_ratio=0.5 lr=0.3']
    assert one.config.model.losses.loss_bkd.blur_ratio == 0.5 and one.config.optim_wrapper.optimizer.lr == 0.3
    assert [axis.name for axis in one.axes] == ['loss_weight', 'tau'] and found['kd lr=0.1'].axes[0].name == 'tau'
    assert not found['plain lr=0.1'].axes and not Tuning(plan, found['plain lr=0.1']).open_tasks({})
    assert len({config_hash(one.config) for one in found.values()}) == len(found)


def test_the_students_settings_are_varied_for_plain_and_neurons_too():
    plan = Plan(PAIR, ('plain', 'kd'), 'unused', vary={'model.student.backbone.T': (2, 3)}, neurons=('psn', ))
    found = {one.name: one.config.model for one in plan.entries()}
    assert {name: model.get('student', model).backbone.neuron.T for name, model in found.items()} == {
        'psn-plain T=2': 2, 'psn-plain T=3': 3, 'psn-kd T=2': 2, 'psn-kd T=3': 3}
    assert all('student' not in found[name] for name in found if 'plain' in name)


@pytest.mark.parametrize('weight', [0.05, 3])
def test_a_run_is_the_same_whether_its_number_is_varied_or_written(weight):
    (varied, ) = Plan(PAIR, ('bkd', ), 'unused', points=0, vary={WEIGHT: (weight, )}).entries()
    written = entry('bkd')
    assert config_hash(varied.config) == config_hash(written.config_at({f'model.{WEIGHT}': float(weight)}))
    assert [axis.key for axis in varied.axes] == [LR]


def test_a_number_is_what_a_schedule_ends_at_whether_varied_or_searched():
    key, schedule = 'losses.loss_reviewkd.loss_weight', dict(points=[(0, 1.0), (1, 3.0)], kind='cosine')
    whole, varied = Plan(PAIR, ('reviewkd', ), 'unused', points=0, vary={key: (10, schedule)}).entries()
    written = entry('reviewkd')
    assert config_hash(whole.config) == config_hash(written.config_at({f'model.{key}': 10.0}))
    points = whole.config.model.losses.loss_reviewkd.loss_weight.points
    assert len(points) > 2 and points[-1][1] == 10 > points[0][1]
    assert varied.config.model.losses.loss_reviewkd.loss_weight.points == schedule['points']


def test_whole_numbers_stay_whole_where_the_config_has_such():
    options = {LR: 1, 'train_cfg.max_epochs': 2, 'model.student.random_T': [1, 2]}
    (found, ) = Plan(PAIR, ('kd', ), 'unused', options=options).entries()
    cfg = found.config
    assert type(cfg.optim_wrapper.optimizer.lr) is float and type(cfg.train_cfg.max_epochs) is int
    assert cfg.model.student.random_T == [1, 2]


@pytest.mark.parametrize('changes, words', [
    (dict(vary={'losses.loss_bdk.blur_ratio': (0.1, )}), 'none of the methods has the loss loss_bdk'),
    (dict(vary={'optim_wraper.lr': (0.1, )}), "Did you mean 'optim_wrapper'"),
    (dict(vary={BLUR: ()}), 'names no value'), (dict(vary={BLUR: (0.1, 0.1)}), 'or one twice'),
    (dict(vary={LR: (0.1, )}, options={LR: 0.2}), 'both set and varied'),
    (dict(vary={LR: (0.12345678, 0.12345679)}), "both 'bkd lr=0.123457'"),
    (dict(vary={f'model.{BLUR}': (0.1, )}), 'belongs to a method; vary losses.loss_bkd.blur_ratio'),
    (dict(vary={'model.teacher.checkpoint': ('a.pth', 'b.pth')}), 'model.teacher.checkpoint .* does not tell runs')])
def test_what_cannot_be_varied_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        Plan(**{**dict(pair=PAIR, methods=('bkd', ), out='unused'), **changes}).entries()
