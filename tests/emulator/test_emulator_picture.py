from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from kosmolua.emulator.painting import compose, paint, painted
from kosmolua.emulator.picture import enlarge, enlarged, write_animation
from kosmolua.terminal.png import SIGNATURE, Picture, PictureError, chunk, read_png, write_png, write_rows

SMALL = Picture(2, 2, 3, [bytes([0, 0, 0, 90, 90, 90]), bytes([30, 60, 120, 255, 255, 255])])


def filtered(kind, rows, width=2, height=2, depth=8, colour=2, interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    data = zlib.compress(b"".join(bytes([kind]) + row for row in rows))
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_png_file_is_read_back_unchanged():
    """A picture written to a PNG file is read back unchanged, with and without transparency."""
    painted = paint(compose("a red fox", 1), 40, 30)
    clear = Picture(1, 1, 4, [bytes([1, 2, 3, 4])])

    assert list(painted.rows) == list(read_png(write_png(painted)).rows)
    assert clear == read_png(write_png(clear))


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (1, [bytes([1, 2, 3, 1, 1, 1]), bytes([5, 5, 5, 255, 0, 1])]),
        (2, [bytes([1, 2, 3, 2, 3, 4]), bytes([4, 3, 2, 2, 2, 2])]),
        (3, [bytes([1, 2, 3, 2, 2, 3]), bytes([5, 4, 4, 1, 1, 1])]),
        (4, [bytes([1, 2, 3, 1, 1, 1]), bytes([4, 3, 2, 0, 0, 1])]),
    ],
)
def test_every_png_filter_is_decoded(kind, rows):
    """The decoder restores rows of each PNG filter."""
    expected = []
    above = bytes(6)
    for row in rows:
        done = []
        for at, sample in enumerate(row):
            left = done[at - 3] if at >= 3 else 0
            corner = above[at - 3] if at >= 3 else 0
            up = above[at]
            guess = left + up - corner
            nearest = min((abs(guess - one), rank, one) for rank, one in enumerate((left, up, corner)))[2]
            done.append((sample + (0, left, up, (left + up) // 2, nearest)[kind]) % 256)
        above = bytes(done)
        expected.append(above)

    assert expected == list(read_png(filtered(kind, rows)).rows)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GIF89a", "not a PNG"),
        (SIGNATURE, "damaged"),
        (filtered(9, SMALL.rows), "damaged"),
        (filtered(0, SMALL.rows[:1]), "truncated PNG file"),
        (filtered(0, SMALL.rows, depth=16), "expected 8-bit RGB or RGBA"),
        (filtered(0, SMALL.rows, interlaced=1), "not interlaced"),
        (filtered(0, SMALL.rows, width=9000, height=9000), "exceeds the limit"),
        (write_png(SMALL)[:-30], "truncated PNG file"),
    ],
    ids=["GIF", "empty", "filter 9", "short", "16 bits", "interlaced", "huge", "cut"],
)
def test_pictures_that_cannot_be_read(data, said):
    """The error for an unreadable picture says what was expected."""
    with pytest.raises(PictureError, match=said):
        read_png(data)


def test_enlarging_keeps_the_samples_and_fills_between():
    """Enlarging keeps every original sample and puts the mean of each adjacent pair between them."""
    large = enlarge(SMALL, 2)

    assert (4, 4) == (large.width, large.height)
    assert bytes([0, 0, 0, 45, 45, 45, 90, 90, 90, 90, 90, 90]) == large.rows[0]
    assert bytes([15, 30, 60]) == large.rows[1][:3]
    assert SMALL.rows[1][:3] == large.rows[2][:3]


def test_an_animation_has_all_its_frames():
    """An animation has one numbered frame control for each frame, and the first frame is a PNG."""
    scene = compose("the sea", 1)
    frames = [paint(scene, 16, 16, at / 3) for at in range(3)]
    data = write_animation(frames, 80)

    assert 3 == data.count(b"fcTL")
    assert 2 == data.count(b"fdAT")
    assert list(frames[0].rows) == list(read_png(data).rows)
    assert frames[0].rows != frames[1].rows


def test_a_colour_in_the_prompt_colours_the_sky():
    """The prompt "red sky" gives more red than blue, and the prompt "blue sky" more blue than red."""
    red, blue = (paint(compose(f"a {name} sky", 1), 32, 32).rows[0][:3] for name in ("red", "blue"))

    assert red[0] > red[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize("enlarging", [False, True])
def test_a_picture_is_written_row_by_row(enlarging):
    """The writer never holds all samples of a picture at once, so many pictures can be made at the same time."""
    side = 512
    small = paint(compose("the sea", 1), side // 4, side // 4)
    tracemalloc.start()
    rows = enlarged(small, 4) if enlarging else painted(compose("the sea", 1), side, side)
    made = write_rows(rows, side, side, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < side * side * 3
    assert read_png(made).rows == (enlarge(small, 4) if enlarging else paint(compose("the sea", 1), side, side)).rows
