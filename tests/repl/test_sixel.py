"""Encoded sixel images are decoded again and compared."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sixel import decoded

from kosmolua.terminal.png import Picture
from kosmolua.terminal.sixel import encode

STEP = 255 / 31
EXACT = STEP / 2 + 255 / 200 + 1  # half a step of a channel, half a percent, and rounding


def picture_of(pixels):
    channels = len(pixels[0][0])
    return Picture(len(pixels[0]), len(pixels), channels, [bytes(v for pixel in row for v in pixel) for row in pixels])


def distance(one, other):
    return max(abs(a - b) for a, b in zip(one[:3], other, strict=True))


@st.composite
def pictures(draw):
    """Pictures with few colors, with and without alpha."""
    value = st.integers(0, 255)
    pixel = draw(st.sampled_from([st.tuples(value, value, value), st.tuples(value, value, value, value)]))
    colours = draw(st.lists(pixel, min_size=1, max_size=12))
    width, height = draw(st.integers(1, 30)), draw(st.integers(1, 20))
    row = st.lists(st.sampled_from(colours), min_size=width, max_size=width)
    return draw(st.lists(row, min_size=height, max_size=height))


@given(pictures())
def test_few_colors_are_unchanged(pixels):
    """Each pixel has its place and color, and is drawn if it is opaque."""
    shown = decoded(encode(picture_of(pixels), len(pixels[0]), len(pixels)))

    for row, shown_row in zip(pixels, shown, strict=True):
        for pixel, drawn in zip(row, shown_row, strict=True):
            assert (drawn is None) == (len(pixel) == 4 and pixel[3] < 128)
            assert drawn is None or distance(pixel, drawn) <= EXACT


@pytest.mark.parametrize(("colours", "nearest", "mean"), [(256, 60, 2), (16, 150, 15), (2, 255, 50)])
def test_many_colors_are_reduced(colours, nearest, mean):
    """The terminal can show all remaining colors at once; each pixel is near its color, and differences even out."""
    pixels = [[(x * 2, y * 2, 255 - x - y) for x in range(128)] for y in range(96)]
    text = encode(picture_of(pixels), 128, 96, colours)
    shown = decoded(text)

    assert 1 < len(re.findall(r"#\d+;2;", text)) <= min(colours, 255)
    assert max(distance(pixels[y][x], shown[y][x]) for y in range(96) for x in range(128)) <= nearest
    errors = []
    for y in range(0, 96, 8):
        for x in range(0, 128, 8):
            block = [(b, a) for b in range(y, y + 8) for a in range(x, x + 8)]
            errors += [abs(sum(pixels[b][a][c] - shown[b][a][c] for b, a in block)) / 64 for c in range(3)]
    assert sum(errors) / len(errors) <= mean


def test_a_smaller_picture():
    """Each pixel is the mean of its area."""
    black, white = (0, 0, 0), (255, 255, 255)
    pixels = [[black, white] * 20, [white, black] * 20] * 15 + [[white] * 40] * 30
    shown = decoded(encode(picture_of(pixels), 20, 30))

    assert all(distance((127, 127, 127), pixel) <= EXACT for row in shown[:15] for pixel in row)
    assert {white} == {pixel for row in shown[15:] for pixel in row}


def test_a_band_names_only_its_colors():
    """Repeats are counted, so a large plain picture gives a short text."""
    red, blue = (255, 0, 0), (0, 0, 255)
    text = encode(picture_of([[red] * 300] * 6 + [[blue] * 300] * 6), 300, 12)

    assert '\x1bP0;1;0q"1;1;300;12#0;2;100;0;0#1;2;0;0;100#0!300~-#1!300~\x1b\\' == text


def test_a_transparent_picture():
    """A transparent picture has its size and no colors."""
    text = encode(picture_of([[(1, 2, 3, 0)] * 5] * 7), 5, 7)

    assert [[None] * 5] * 7 == decoded(text)
    assert "#" not in text


def test_the_size_of_noise_is_limited():
    """The worst picture takes a few bytes per pixel."""
    noise = random.Random(1)
    rows = [noise.randbytes(3 * 200) for _ in range(100)]

    assert len(encode(Picture(200, 100, 3, rows), 200, 100)) < 6 * 200 * 100
