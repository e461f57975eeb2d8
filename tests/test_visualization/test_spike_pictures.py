"""What is drawn is what was given: spikes, membranes, rates and evidence."""
import sys
import warnings

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from bkdsnn.visualization.figures import SILENCE, SPIKE
from bkdsnn.visualization.heat import DARKEST, EVIDENCE, RATE, draw_cam, draw_rate_map, enlarge, heat_over, upsample
from bkdsnn.visualization.spikes import draw_membranes, draw_raster, figure_image, membrane_course

SPIKES = np.array([[0, 1, 0], [1, 1, 0]])  # T=2, three neurons
CHARGED = np.array([[0.5, 1.0, -0.5], [1.25, 2.5, 0.75]])
WHITE = np.full((4, 4, 3), 255, np.uint8)


def texts(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_raster_has_a_row_for_each_neuron_and_a_column_for_each_step():
    figure = draw_raster(SPIKES, ['a', 'b', 'c'], 'layer')
    axes, = figure.axes
    mesh, = (part for part in axes.collections if isinstance(part, QuadMesh))
    np.testing.assert_array_equal(mesh.get_array(), SPIKES.T)
    corners = mesh.get_coordinates()
    assert corners[0, 0].tolist() == [0.5, -0.5] and corners[-1, -1].tolist() == [2.5, 2.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['a', 'b', 'c']
    assert axes.get_ylim() == (2.5, -0.5)  # the first neuron is at the top
    colours = np.round(255 * mesh.cmap(mesh.norm([0, 1])))
    np.testing.assert_array_equal(colours, [SILENCE, SPIKE])
    assert figure.get_suptitle() == 'layer'


@pytest.mark.parametrize('steps', [1, 2, 5, 16, 100])
def test_time_steps_are_whole_numbers(steps):
    ones = np.ones((steps, 2))
    for figure in (draw_raster(ones), draw_membranes(ones, ones, 1.0, 0.0)):
        figure_image(figure)
        axes = figure.axes[-1]
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(tick == int(tick) for tick in ticks)
        assert axes.get_xlabel() == 'time step'


def test_pixels_of_a_raster_are_blue_where_a_neuron_spikes():
    image = figure_image(draw_raster(np.array([[0, 1]])))
    count = {colour: (image == colour[:3]).all(-1).sum() for colour in (SPIKE, SILENCE)}
    assert count[SPIKE] > 1000 and count[SPIKE] == pytest.approx(count[SILENCE], rel=0.05)
    assert image.dtype == np.uint8


@pytest.mark.parametrize('reset, after', [(0.0, [[0.5, 0, -0.5], [0, 0, 0.75]]),
                                          (-0.25, [[0.5, -0.25, -0.5], [-0.25, -0.25, 0.75]]),
                                          (None, [[0.5, 0, -0.5], [0.25, 1.5, 0.75]])])
def test_membrane_rests_charges_and_is_reset(reset, after):
    times, course = membrane_course(CHARGED, SPIKES, 1.0, reset)
    assert times.tolist() == [0, 1, 1, 2, 2]
    np.testing.assert_array_equal(course[0], [reset or 0.0] * 3)
    np.testing.assert_array_equal(course[1::2], CHARGED)
    np.testing.assert_array_equal(course[2::2], after)


def test_membranes_are_drawn_with_threshold_rest_and_spikes():
    figure = draw_membranes(CHARGED, SPIKES, 1.0, None, title='layer')
    assert len(figure.axes) == 3
    for neuron, axes in enumerate(figure.axes):
        threshold, rest, course, spikes = axes.lines
        assert set(threshold.get_ydata()) == {1.0} and set(rest.get_ydata()) == {0.0}
        np.testing.assert_array_equal(course.get_ydata(), membrane_course(CHARGED, SPIKES, 1.0, None)[1][:, neuron])
        steps = np.flatnonzero(SPIKES[:, neuron])
        np.testing.assert_array_equal(spikes.get_xdata(), steps + 1)
        np.testing.assert_array_equal(spikes.get_ydata(), CHARGED[steps, neuron])


def test_silent_neurons_are_drawn_too():
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # matplotlib warns where it cannot lay out a figure
        figure_image(draw_membranes(np.zeros((4, 8)), np.zeros((4, 8)), 1.0, 0.0, title='one\ntwo\nthree'))
        figure_image(draw_raster(np.zeros((4, 1)), title='one\ntwo\nthree'))
        figure = draw_rate_map(WHITE, np.zeros((2, 2)))
    assert figure.axes[2].get_ylim() == (0, 1)
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), 1.0)


def test_map_is_upsampled_between_the_centres_of_its_cells():
    np.testing.assert_allclose(upsample(np.array([[0.0, 1.0]]), (2, 4)), [[0, 0.25, 0.75, 1]] * 2)
    np.testing.assert_allclose(upsample(np.full((3, 2), 0.3), (7, 5)), 0.3, rtol=1e-6)


def test_heat_tints_white_and_leaves_a_black_image_visible():
    values = np.array([[0.0, 2.0]])
    for image, shade in ((np.full((1, 2), 255, np.uint8), 1.0), (np.zeros((1, 2, 3), np.uint8), DARKEST)):
        np.testing.assert_allclose(heat_over(image, values, 0, 2, RATE), shade * RATE([[0.0, 1.0]])[..., :3], rtol=1e-6)


def test_rate_map_shows_image_and_rates_from_zero_to_the_highest():
    rate = np.array([[0.125, 0.5], [0.25, 0.25]])
    figure = draw_rate_map(WHITE, rate, 'layer')
    picture, heat = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_array_equal(picture, WHITE)
    np.testing.assert_allclose(heat, heat_over(enlarge(WHITE), rate, 0, 0.5, RATE))
    assert figure.axes[2].get_ylim() == (0, 0.5) and figure.axes[2].get_ylabel() == 'spikes per neuron and step'
    assert '0.125 to 0.500' in texts(figure)


@pytest.mark.parametrize('steps', [1, 4, 6])
def test_class_activation_has_one_scale_for_all_steps(steps):
    maps = np.linspace(-3, 1, steps * 4).reshape(steps, 2, 2)
    figure = draw_cam(WHITE, maps, np.linspace(0.5, 1, steps))
    first, *panels = [axes for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(first.images[0].get_array(), WHITE)
    assert len(panels) == steps
    for values, axes in zip(maps, panels):
        np.testing.assert_allclose(axes.images[0].get_array(), heat_over(enlarge(WHITE), values, -3, 3, EVIDENCE))
    assert figure.axes[-1].get_ylim() == (-3, 3)
    assert texts(figure)[:2] == ['input', 'step 1: 50 %']


def test_maps_of_events_lie_over_the_frame_of_their_step():
    frames = np.stack([WHITE, WHITE // 2])
    figure = draw_cam(WHITE, np.zeros((2, 2, 2)), np.ones(2), frames)
    bright, dark = (axes.images[0].get_array() for axes in figure.axes[1:3])
    np.testing.assert_allclose(bright, 1.0)
    np.testing.assert_allclose(dark, DARKEST + (1 - DARKEST) * 127 / 255, rtol=1e-5)


def test_nothing_needs_a_display(monkeypatch):
    # Importing it would choose a window system where MPLBACKEND or matplotlibrc says so.
    monkeypatch.setitem(sys.modules, 'matplotlib.pyplot', None)
    for figure in (draw_raster(SPIKES), draw_membranes(CHARGED, SPIKES, 1.0, 0.0),
                   draw_rate_map(WHITE, np.ones((2, 2))), draw_cam(WHITE, np.ones((1, 2, 2)), np.ones(1))):
        assert figure_image(figure, dpi=50).std() > 0


def test_long_titles_are_broken_into_lines():
    figure = draw_raster(SPIKES, title='word ' * 60)
    assert len(figure.get_suptitle().splitlines()) > 2


@pytest.mark.parametrize('draw, message', [
    (lambda: draw_raster(np.array([[0.0, 2.0]])), 'spikes, which are 0 or 1, got values from 0 to 2'),
    (lambda: draw_raster(np.zeros((2, 0))), r'at least one entry each, got shape \(2, 0\)'),
    (lambda: draw_raster(np.zeros((2, 3, 4))), r'spikes needs 2 axes .* shape \(2, 3, 4\)'),
    (lambda: draw_raster(SPIKES, ['a']), '1 names do not fit 3 neurons'),
    (lambda: draw_membranes(CHARGED, SPIKES[:1], 1.0, 0.0), r'\(2, 3\) and spikes \(1, 3\) differ'),
    (lambda: draw_rate_map(WHITE, np.zeros(4)), r'rate needs 2 axes .* shape \(4,\)'),
    (lambda: draw_cam(WHITE, np.zeros((2, 4, 4)), np.ones(3)), '2 maps, 3 scores and 2 frames are not of the same'),
])
def test_arrays_that_do_not_fit_are_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
