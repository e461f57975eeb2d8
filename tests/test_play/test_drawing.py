"""Drawings, brought to what scikit-learn's digits are."""
import numpy as np
import pytest
from PIL import Image

from bkdsnn.play.drawing import INK, scan_of, set_thickness, shear_upright
from helpers import stroke

SEVEN = [(60, 50), (220, 50), (120, 240)]


@pytest.mark.parametrize('change', [
    lambda gray: 255 - gray,
    lambda gray: np.stack([gray] * 3, -1),
    lambda gray: np.stack([np.zeros_like(gray)] * 3 + [255 - gray], -1),
    lambda gray: np.roll(gray, (15, -20), (0, 1)),
    lambda gray: gray.repeat(2, 0).repeat(2, 1),
], ids=['light on dark', 'RGB', 'opaque on transparent', 'moved', 'larger'])
def test_scan_does_not_depend_on_how_a_digit_is_drawn(change):
    gray = stroke(SEVEN)
    scan = scan_of(gray)
    assert scan.shape == (8, 8) and scan.dtype == np.uint8 and 0 < scan.max() <= 16
    assert np.abs(scan_of(change(gray)).astype(int) - scan).max() <= 1


def test_thin_and_thick_strokes_give_nearly_the_same_scan():
    thin, thick = scan_of(stroke(SEVEN, 10)).astype(int), scan_of(stroke(SEVEN, 34)).astype(int)
    assert np.abs(thin - thick).mean() < 1.5  # of 16
    assert thin.sum() == pytest.approx(INK * 16 * 64, rel=0.02)


def test_thickness_is_set_by_thinning_and_by_thickening_evenly():
    for width in (4, 90):
        bar = np.zeros((128, 128), bool)
        bar[:, 64 - width // 2:64 + width // 2] = True
        columns = set_thickness(bar).any(0).nonzero()[0]
        assert columns.min() + columns.max() == 127  # still in the middle
        assert set_thickness(bar).mean() == pytest.approx(INK, abs=0.02)


def test_a_slanted_bar_is_sheared_upright():
    slanted = np.zeros((128, 128), bool)
    for y in range(128):
        slanted[y, 70 - y // 4:80 - y // 4] = True
    columns = shear_upright(slanted).any(0).nonzero()[0]
    assert len(columns) <= 16  # the bar is 10 wide, and was spread over 41
    assert len(slanted.any(0).nonzero()[0]) == 41


def test_scans_of_the_data_set_come_back_as_they_were():
    from sklearn.datasets import load_digits
    differences = []
    for digit in load_digits().images[:60]:
        picture = Image.fromarray(np.pad(digit * (255 / 16), 2).astype(np.uint8)).resize((240, 240), Image.BICUBIC)
        differences.append(np.abs(scan_of(np.asarray(picture)) - digit).mean())
    assert np.mean(differences) < 2  # of 16


@pytest.mark.parametrize('picture, message', [
    (np.full((50, 50), 255, np.uint8), 'empty'),
    (np.zeros((50, 50, 3), np.uint8), 'empty'),
    (np.zeros((50, 50, 4), np.uint8), 'empty'),
    (stroke([(100, 100), (101, 101)], 6), 'too small'),
    (np.zeros((50, 50), np.float32), r'\(50, 50\) of float32'),
    (np.zeros((0, 50), np.uint8), r'\(0, 50\)'),
])
def test_a_picture_without_a_digit_is_refused(picture, message):
    with pytest.raises(ValueError, match=message):
        scan_of(picture)
