"""Writes animated PNG files and enlarges pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from kosmolua.terminal.png import SIGNATURE, Picture, chunk, header, packed


def write_animation(frames: Sequence[Picture], milliseconds: int) -> bytes:
    """An animated PNG that repeats forever. Programs without support for animations show the first frame."""
    parts = [
        SIGNATURE,
        header(frames[0].width, frames[0].height, frames[0].channels),
        chunk(b"acTL", struct.pack(">II", len(frames), 0)),
    ]
    sequence = 0
    for index, frame in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", sequence, frame.width, frame.height, 0, 0, milliseconds, 1000, 0, 0)
        parts.append(chunk(b"fcTL", control))
        sequence += 1
        if index == 0:
            parts.append(chunk(b"IDAT", packed(frame.rows)))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + packed(frame.rows)))
            sequence += 1
    return b"".join([*parts, chunk(b"IEND", b"")])


def enlarge(picture: Picture, scale: int) -> Picture:
    """The picture, ``scale`` times as wide and high, with bilinear interpolation."""
    rows = list(enlarged(picture, scale))
    return Picture(picture.width * scale, picture.height * scale, picture.channels, rows)


def enlarged(picture: Picture, scale: int) -> Iterator[bytes]:
    """The rows of the enlarged picture, one at a time."""
    wide = (_stretch(row, picture.channels, scale) for row in picture.rows)
    above = next(wide)
    for below in wide:
        yield from _between(above, below, scale)
        above = below
    yield from _between(above, above, scale)


def _between(first: bytes, second: bytes, scale: int) -> Iterator[bytes]:
    yield first
    for part in range(1, scale):
        rest = scale - part
        yield bytes([(a * rest + b * part) // scale for a, b in zip(first, second, strict=True)])


def _stretch(row: bytes, channels: int, scale: int) -> bytes:
    right = row[channels:] + row[-channels:]
    out = bytearray(len(row) * scale)
    for part, samples in enumerate(_between(row, right, scale)):
        for channel in range(channels):
            out[part * channels + channel :: channels * scale] = samples[channel::channels]
    return bytes(out)
