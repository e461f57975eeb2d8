"""Order, ties and gains of the table."""
import statistics

import pytest

from bkdsnn.comparison import Plan, Standings
from bkdsnn.comparison.pictures import draw_curves, draw_gains
from bkdsnn.comparison.render import cells, footnotes, markdown
from bkdsnn.comparison.table import Standing, ranked
from bkdsnn.comparison.tuning import Choice


def row(name, *accuracies, seeds=None, teacher='1b5d4f7b', **others):
    same = dict(step_time=0.02 if name == 'kd' else 0.01, spikes=100.0, firing_rate=0.1, synops=5.0, energy=2e-9,
                machine=dict(device='CPU', threads=1), versions=dict(python='3.11', torch='2.14'), teacher=[teacher])
    lines = {seed: dict(same, accuracy=value, accuracy_over_time=[value - 10, value],
                        early_exit=dict(accuracy=value, mean_steps=1.5), date=f'2026-01-0{seed + 1}T00:00:00Z')
             for seed, value in zip(seeds or range(len(accuracies)), accuracies)}
    return Standing(name, lines, Choice({'optim_wrapper.optimizer.lr': 0.3}, 91.0, 9), **others)


def standings(*rows):
    return Standings(Plan('pair', ('plain', ), 'out'), ranked(list(rows)))


def test_best_is_first_ties_are_marked_and_those_without_runs_are_last():
    table = standings(Standing('broken', reason='needs labels'), row('plain', 80.0, 81.0, 82.0, 83.0),
                      row('kd', 90.0, 91.0, 92.0, 95.0), row('near', 90.5, 91.0, 91.5, 92.5),
                      row('worse', 70.0, 71.0, 72.0, 73.5))
    assert [one.name for one in table.rows] == ['kd', 'near', 'plain', 'worse', 'broken']
    assert [one.is_best for one in table.rows] == [True, True, False, False, False]
    assert cells(table, table.rows[-1])[:3] == ['', 'broken', 'see below']
    assert 'broken: needs labels' in footnotes(table)
    kd = dict(zip(('mark', 'name', 'accuracy', 'gain', 'interval', 'seeds'), cells(table, table.rows[0])))
    assert kd['mark'] == '=' and kd['gain'] == '+10.50 ± 0.50' and kd['accuracy'] == '92.00 ± 2.16'
    assert kd['interval'] == '+8.91 to +12.09'  # t(3) = 3.182
    assert table.relative_time(table.rows[0]) == pytest.approx(2.0)


def test_gains_are_of_the_seeds_that_both_have():
    table = standings(row('plain', 80.0, 90.0), row('kd', 91.0, 95.0, seeds=[1, 2]))
    (kd, ) = [one for one in table.rows if one.name == 'kd']
    assert kd.gain.differences == [1.0] and kd.gain.error is None
    assert table.summary()['methods']['kd']['gain'] == dict(mean=1.0, error=None, half_width=None, wins=1, seeds=1,
                                                            told_apart=False)


def test_gains_are_over_plain_with_the_same_neuron_and_times_over_the_first():
    rows = [row(method, *values, neuron=neuron) for neuron, method, *values in (
        ('psn', 'plain', 90.0, 91.0), ('psn', 'kd', 91.0, 93.0), ('lif', 'plain', 80.0, 81.0),
        ('lif', 'kd', 85.0, 87.0))]
    for line in rows[0].lines.values():
        line['step_time'] = 0.04
    table = Standings(Plan('pair', ('plain', 'kd'), 'out', neurons=('lif', 'psn')), ranked(rows))
    assert [one.name for one in table.rows] == ['psn-kd', 'psn-plain', 'lif-kd', 'lif-plain']
    assert [one.gain and one.gain.mean for one in table.rows] == [1.5, None, 5.5, None]
    assert [table.relative_time(one) for one in table.rows] == pytest.approx([2.0, 4.0, 2.0, 1.0])
    assert any('over plain with the same neuron, times over lif-plain' in note for note in footnotes(table))


def test_failed_seeds_edges_and_other_teachers_are_told():
    table = standings(row('plain', 80.0, teacher='00000000'), row('kd', 91.0, failures={1: 'loss is not finite' * 50}))
    table.rows[0].choice = Choice({'optim_wrapper.optimizer.lr': 3.0}, 91.0, 9, on_edge=True)
    text = '\n'.join(footnotes(table))
    assert 'kd*: 1 of 2 seeds failed: loss is not finite' in text and len(text) < 1000
    assert 'kd*: the best point lies on the edge' in text
    assert '2 different teachers' in text
    assert 'Trained on CPU, 1 threads, Python 3.11, PyTorch 2.14 (2026-01-01)' in text
    assert '(2026-01-01 to 2026-01-03)' in footnotes(standings(row('plain', 80.0, 81.0, 82.0)))[-1]


def test_early_exit_without_a_validation_split_is_left_out_and_told():
    table = standings(row('plain', 80.0, 81.0))
    assert not any('Early exit is left out' in note for note in footnotes(table))
    for line in table.rows[0].lines.values():
        line['early_exit'] = None
    assert any('Early exit is left out: the pair validates on its test data' in note for note in footnotes(table))
    assert '80.50' in markdown(table) and table.summary()['methods']['plain']['early_exit']['accuracy'] is None


def test_markdown_has_as_many_cells_in_each_row():
    table = standings(row('plain', 80.0, 81.0), row('a|b', 90.0, 91.0), Standing('broken', reason='two\nlines'))
    rows = [line for line in markdown(table).splitlines() if line.startswith('|')]
    assert len({line.replace('\\|', '').count('|') for line in rows}) == 1 and len(rows) == 5
    assert statistics.mean([90.0, 91.0]) == table.summary()['methods']['a|b']['mean']


BLUR, LR = 'losses.loss_bkd.blur_ratio', 'optim_wrapper.optimizer.lr'


@pytest.fixture
def varied():
    rows = [row('plain', 80.0, 81.0, variation={LR: 0.1}), row('plain', 70.0, 71.0, variation={LR: 0.3})]
    rows += [row('bkd', 90 + blur - lr, 91.0 + blur, variation={BLUR: blur, LR: lr})
             for blur in (0.0, 0.5) for lr in (0.1, 0.3)]
    return Standings(Plan('pair', ('plain', 'bkd'), 'out', vary={BLUR: (0.0, 0.5), LR: (0.1, 0.3)}), ranked(rows))


def test_gains_of_variations_are_over_plain_with_the_same_settings_of_the_pair(varied):
    rows = {one.name: one for one in varied.rows}
    assert rows['bkd blur_ratio=0.5 lr=0.1'].gain.differences == pytest.approx([10.4, 10.5])
    assert rows['bkd blur_ratio=0 lr=0.3'].gain.differences == pytest.approx([19.7, 20.0])
    assert varied.plain.name == 'plain lr=0.1'
    assert any('over plain with the same optim_wrapper.optimizer.lr' in note for note in footnotes(varied))
    assert varied.summary()['methods']['bkd blur_ratio=0.5 lr=0.1']['variation'] == {BLUR: 0.5, LR: 0.1}


def test_curves_have_a_line_for_each_method_a_dot_for_each_seed_and_plain_across(varied):
    (ax, ) = draw_curves(varied).axes
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {'bkd lr=0.1', 'bkd lr=0.3', 'plain lr=0.1', 'plain lr=0.3'}
    assert lines['bkd lr=0.1'].get_xydata().tolist() == [[0.0, pytest.approx(90.45)], [0.5, pytest.approx(90.95)]]
    assert list(lines['plain lr=0.3'].get_ydata()) == [70.5, 70.5]
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 2 * 2 * 2


@pytest.mark.parametrize('values, scale, places', [
    ((0.001, 0.1, 1.0), 'log', [0.001, 0.1, 1.0]), ((False, True), 'linear', [0, 1]),
    ((None, 'ADD'), 'linear', [0, 1])])
def test_axes_fit_their_values(values, scale, places):
    rows = [row('bkd', 90.0, variation={BLUR: value}) for value in values]
    (ax, ) = draw_curves(Standings(Plan('pair', ('bkd', ), 'out', vary={BLUR: values}), ranked(rows))).axes
    assert ax.get_xscale() == scale and ax.lines[0].get_xdata().tolist() == places


def test_gains_are_drawn_with_a_dot_for_each_seed_and_hollow_where_they_may_be_zero():
    table = standings(row('plain', 80.0, 81.0, 82.0), row('kd', 90.0, 91.0, 92.5), row('near', 80.5, 80.5, 83.0),
                      row('worse', 70.0, 71.0, 72.5), Standing('broken', reason='needs labels'))
    (ax, ) = draw_gains(table).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ['kd', 'near', 'worse']
    dots = [collection for collection in ax.collections if len(collection.get_offsets()) == 3]
    assert dots[0].get_offsets()[:, 0].tolist() == [10.0, 10.0, 10.5]
    means = [bar.lines[0] for bar in ax.containers]
    assert [bar.get_markerfacecolor() == 'white' for bar in means] == [False, True, False]
    assert [float(bar.get_xdata()[0]) for bar in means] == pytest.approx([10 + 1 / 6, 1 / 3, -10 + 1 / 6])
