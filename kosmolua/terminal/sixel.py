"""Encode sixel images: bands six pixels high, drawn one color after another, as on the VT340."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from operator import itemgetter, mul
from typing import Any

from kosmolua.terminal.png import Picture

Colour = tuple[int, ...]  # steps of red, green and blue; empty for a pixel that is not drawn
Shade = list[Colour]  # different colors that are drawn as one

MOST_COLOURS = 255  # each pixel is a byte, and one of its values means not drawn
_HOLE = 255
_OPAQUE = 128  # pixels with at least this alpha are drawn
_STEPS = 31  # steps per channel when colors are counted
_BAND = 6
_BLANK = 63  # the character for no pixels; the bits of a column's six pixels are added to it
_DITHER = 0.6  # dithering, as a fraction of the distance between evenly spread shades
_BAYER = ((0, 8, 2, 10), (12, 4, 14, 6), (3, 11, 1, 9), (15, 7, 13, 5))
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def encode(picture: Picture, width: int, height: int, colours: int = MOST_COLOURS) -> str:
    """The picture as a sixel image of the given size. Transparent pixels are not drawn."""
    colours = min(colours, MOST_COLOURS)
    scaled = list(_scaled(picture, width, height))
    rows, counted = _counted(scaled, picture.channels, 0)
    if len(counted) > colours:  # dither, so that a few shades do not appear as steps
        rows, counted = _counted(scaled, picture.channels, round(255 / colours ** (1 / 3) * _DITHER))
    shades = _shades(counted, colours)
    numbers = {pixel: number for number, shade in enumerate(shades) for pixel in shade}
    numbers[()] = _HOLE
    lines = [bytes(map(numbers.__getitem__, row)) for row in rows]
    palette = "".join(f"#{number};2;{_mean(shade, counted)}" for number, shade in enumerate(shades))
    bands = "-".join(_band(lines[at : at + _BAND]) for at in range(0, height, _BAND))
    return f'\x1bP0;1;0q"1;1;{width};{height}{palette}{bands}\x1b\\'


# Scaling ----------------------------------------------------------------------------------------------------------


def _scaled(picture: Picture, width: int, height: int) -> Iterator[bytes]:
    """The picture's rows at that size. Each pixel is the mean of four samples in its area."""
    left, right = (_columns(picture, width, quarter) for quarter in (1, 3))
    for y in range(height):
        upper, lower = (picture.rows[(4 * y + quarter) * picture.height // (4 * height)] for quarter in (1, 3))
        four = zip(left(upper), right(upper), left(lower), right(lower), strict=True)
        yield bytes([(a + b + c + d) >> 2 for a, b, c, d in four])


def _columns(picture: Picture, width: int, quarter: int) -> itemgetter[Any]:
    channels = range(picture.channels)
    pixels = ((4 * x + quarter) * picture.width // (4 * width) for x in range(width))
    return itemgetter(*(pixel * picture.channels + channel for pixel in pixels for channel in channels))


def _counted(scaled: Sequence[bytes], channels: int, spread: int) -> tuple[list[list[Colour]], Counter[Colour]]:
    """The colors of each row, dithered by ``spread``, and the number of pixels of each color."""
    patterns = [[_stepped(spread * (2 * at - 15) // 30) for at in row] for row in _BAYER]
    rows = [_pixels(row, channels, patterns[y % 4]) for y, row in enumerate(scaled)]
    counted = Counter(pixel for row in rows for pixel in row)
    del counted[()]
    return rows, counted


def _stepped(more: int) -> bytes:
    """A table for `bytes.translate` that maps each value to the step of the value plus ``more``."""
    return bytes((min(max(value + more, 0), 255) * _STEPS + 127) // 255 for value in range(256))


def _pixels(row: bytes, channels: int, pattern: Sequence[bytes]) -> list[Colour]:
    samples = [bytearray(row[channel::channels]) for channel in range(3)]
    for channel in samples:
        for at, table in enumerate(pattern):
            channel[at::4] = channel[at::4].translate(table)
    pixels: Iterator[Colour] = zip(*samples, strict=True)
    if channels == 3:  # noqa: PLR2004 - no alpha
        return list(pixels)
    return [pixel if alpha >= _OPAQUE else () for pixel, alpha in zip(pixels, row[3::4], strict=True)]


# Colors -----------------------------------------------------------------------------------------------------------


def _shades(counted: Mapping[Colour, int], most: int) -> list[Shade]:
    """Group the colors into at most ``most`` shades by median cut; varied and frequent groups are split first."""
    heap, made = [(0, 0, list(counted))] if counted else [], 0
    while 0 < len(heap) < most and len(heap[0][2]) > 1:
        for half in _halves(heappop(heap)[2], counted):
            weight = _widest(half)[0] * sum(map(counted.__getitem__, half))
            made += 1
            heappush(heap, (-weight, made, half))
    return [shade for _, _, shade in heap]


def _halves(shade: Shade, counted: Mapping[Colour, int]) -> tuple[Shade, Shade]:
    """Split a shade along its widest channel into parts with about equally many pixels."""
    shade.sort(key=itemgetter(_widest(shade)[1]))
    sums = list(accumulate(map(counted.__getitem__, shade)))
    middle = min(bisect_left(sums, sums[-1] / 2) + 1, len(shade) - 1)
    return shade[:middle], shade[middle:]


def _widest(shade: Shade) -> tuple[int, int]:
    """The widest range of the colors' values in one channel, and the channel's index."""
    return max((max(values) - min(values), channel) for channel, values in enumerate(zip(*shade, strict=True)))


def _mean(shade: Shade, counted: Mapping[Colour, int]) -> str:
    """The mean color of a shade: red, green and blue in percent."""
    weights = [counted[colour] for colour in shade]
    whole = sum(weights) * _STEPS
    sums = (sum(map(mul, channel, weights)) for channel in zip(*shade, strict=True))
    return ";".join(str(round(100 * each / whole)) for each in sums)


# Drawing ----------------------------------------------------------------------------------------------------------


def _band(lines: Sequence[bytes]) -> str:
    """A band of up to six lines, drawn once for each shade in it."""
    shades = sorted(set().union(*lines) - {_HOLE})
    return "$".join(f"#{shade}{_strokes(lines, shade)}" for shade in shades)


def _strokes(lines: Sequence[bytes], shade: int) -> str:
    """The pixels of a shade: a character for each column, with repeated characters as run lengths."""
    columns = int.from_bytes(bytes([_BLANK]) * len(lines[0]))
    for bit, line in enumerate(lines):
        if shade in line:  # one byte per column; no byte overflows into the next
            columns += int.from_bytes(line.translate(_only(shade, 1 << bit)))
    text = columns.to_bytes(len(lines[0])).rstrip(bytes([_BLANK]))
    return _RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), text).decode()


def _only(shade: int, value: int) -> bytes:
    """A table for `bytes.translate` that maps the shade to ``value`` and all others to 0."""
    return bytes(shade) + bytes([value]) + bytes(255 - shade)
