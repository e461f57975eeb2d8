"""The grid that grows: what is tried follows from the scores alone, and goes where they rise."""
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkdsnn.comparison.grid import Axis, best_place, next_places, on_edge


def explore(dimensions, budget, score, arrive=lambda places: places):
    """Scores of all that is tried; of those to be tried together, ``arrive`` picks which are known first."""
    scores = {}
    while places := next_places(dimensions, budget, scores):
        scores.update({place: score(place) for place in arrive(places)})
    return scores


@given(st.integers(1, 3), st.integers(1, 25), st.integers(0, 2**32), st.data())
def test_points_depend_on_the_scores_and_not_on_who_is_first(dimensions, budget, seed, data):
    def score(place):
        value = hash((seed, place)) % 7
        return None if value == 0 else value

    together = explore(dimensions, budget, score)
    one_by_one = explore(dimensions, budget, score, lambda places: [data.draw(st.sampled_from(places))])
    assert len(together) == budget and together == one_by_one


@given(st.integers(1, 25), st.integers(0, 2**32))
def test_more_points_go_on_where_fewer_ended(budget, seed):
    def score(place):
        return hash((seed, place)) % 7

    fewer, more = explore(2, budget, score), explore(2, budget + 3, score)
    assert fewer.items() <= more.items()


@pytest.mark.parametrize('optimum', itertools.product((-2.3, 0.2, 3.1), (-1.4, 0.0, 2.2)))
def test_a_hill_is_found_and_its_top_is_not_on_the_edge(optimum):
    scores = explore(2, 25, lambda place: -math.dist(place, optimum))
    best = best_place(scores)
    assert not on_edge(best, scores)
    assert math.dist(best, optimum) <= math.sqrt(2) / 2


def test_a_slope_without_end_is_followed_to_the_last_point_and_marked():
    scores = explore(1, 9, lambda place: place[0])
    assert best_place(scores) == (7.0, ) and on_edge((7.0, ), scores)


def test_around_the_top_points_come_nearer():
    assert list(explore(1, 7, lambda place: -abs(place[0]))) == [(x, ) for x in (0, -1, 1, -0.5, 0.5, -0.25, 0.25)]


def test_where_all_fails_the_learning_rate_is_lowered():
    scores = explore(2, 7, lambda place: None if place[0] > -3 else 50.0)
    assert list(scores)[-2:] == [(-2.0, 0.0), (-3.0, 0.0)] and best_place(scores) == (-3.0, 0.0)
    assert best_place(explore(2, 7, lambda place: None)) is None


@pytest.mark.parametrize('start, factor, values', [
    (0.1, 3, [0.01, 0.03, 0.1, 0.3, 1.0]), (0.3, 3, [0.03, 0.1, 0.3, 1.0, 3.0]),
    (2e-2, 3, [2e-3, 6e-3, 2e-2, 6e-2, 0.2]), (2.0, 2, [0.5, 1.0, 2.0, 4.0, 8.0]),
    (2e-3, 10, [2e-5, 2e-4, 2e-3, 2e-2, 0.2])])
def test_values_are_those_that_people_write(start, factor, values):
    axis = Axis('optim_wrapper.optimizer.lr', start, factor)
    assert [axis.value(steps) for steps in (-2.0, -1.0, 0.0, 1.0, 2.0)] == values
    between = axis.value(0.5)
    assert start < between < values[3] and between / start == pytest.approx(math.sqrt(values[4] / start)**0.5, rel=0.06)
