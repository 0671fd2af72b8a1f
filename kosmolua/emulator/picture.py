"""Pictures without a library: PNG files read and written, animations written, samples enlarged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}
_COLOUR_TYPES = {3: 2, 4: 6}


class PictureError(ValueError):
    """The bytes are not a picture of the kind that can be read here."""


@dataclass(frozen=True)
class Picture:
    """Rows of 8-bit samples, three (RGB) or four (RGBA) to a pixel."""

    width: int
    height: int
    channels: int
    rows: Sequence[bytes]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(picture: Picture) -> bytes:
    colour_type = _COLOUR_TYPES[picture.channels]
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", picture.width, picture.height, 8, colour_type, 0, 0, 0))


def _packed(picture: Picture) -> bytes:
    # Filter 0 on every row: the samples as they are. Level 1 is where most of the time is saved.
    return zlib.compress(b"".join(b"\0" + row for row in picture.rows), 1)


def write_png(picture: Picture) -> bytes:
    return SIGNATURE + _header(picture) + _chunk(b"IDAT", _packed(picture)) + _chunk(b"IEND", b"")


def write_animation(frames: Sequence[Picture], milliseconds: int) -> bytes:
    """An animated PNG that repeats for ever; programs that know no animation show the first frame."""
    parts = [SIGNATURE, _header(frames[0]), _chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    sequence = 0
    for index, frame in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", sequence, frame.width, frame.height, 0, 0, milliseconds, 1000, 0, 0)
        parts.append(_chunk(b"fcTL", control))
        sequence += 1
        if index == 0:
            parts.append(_chunk(b"IDAT", _packed(frame)))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", sequence) + _packed(frame)))
            sequence += 1
    return b"".join([*parts, _chunk(b"IEND", b"")])


def read_png(data: bytes, *, most_pixels: int = 4_000_000) -> Picture:
    """The picture in a PNG file: 8 bits a sample, RGB or RGBA, not interlaced."""
    if not data.startswith(SIGNATURE):
        raise PictureError("not a PNG file")
    try:
        chunks = list(_chunks(data))
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
        if depth != 8 or colour not in _CHANNELS or interlaced:  # noqa: PLR2004 - bits of a sample
            raise PictureError("only PNG with 8-bit RGB or RGBA samples, not interlaced, can be read")
        if not 0 < width * height <= most_pixels:
            raise PictureError(f"a picture of {width} x {height} pixels is more than the {most_pixels} allowed")
        size = (width * _CHANNELS[colour] + 1) * height
        packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
        # Bounded, so that a few kB cannot unpack to gigabytes.
        samples = zlib.decompressobj().decompress(packed, size)
    except (struct.error, zlib.error, IndexError) as error:
        raise PictureError("the PNG file is damaged") from error
    if len(samples) != size:
        raise PictureError("the PNG file ends too early")
    return Picture(width, height, _CHANNELS[colour], list(_unfiltered(samples, width, _CHANNELS[colour])))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += length + 12


def _unfiltered(samples: bytes, width: int, channels: int) -> Iterator[bytes]:
    length = width * channels
    above = bytes(length)
    for start in range(0, len(samples), length + 1):
        above = _unfilter(samples[start], samples[start + 1 : start + 1 + length], above, channels)
        yield above


def _unfilter(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    if kind == 0:
        return row
    if kind == 2:  # noqa: PLR2004 - Up
        return bytes([(a + b) & 255 for a, b in zip(row, above, strict=True)])
    if kind not in _PREDICTED:
        raise PictureError("the PNG file is damaged")
    done = bytearray(len(row))
    for channel in range(step):
        done[channel::step] = bytes(_PREDICTED[kind](row[channel::step], above[channel::step]))
    return bytes(done)


# The samples of one channel in one row, from what the file has in their place and from the row above. Written out for
# speed: a picture of 1024 x 1024 has three million of them.


def _sub(row: bytes, _: bytes) -> Iterator[int]:
    return accumulate(row, lambda left, value: (left + value) & 255)


def _average(row: bytes, above: bytes) -> Iterator[int]:
    left = 0
    for value, up in zip(row, above, strict=True):
        left = (value + ((left + up) >> 1)) & 255
        yield left


def _paeth(row: bytes, above: bytes) -> Iterator[int]:
    left = corner = 0
    for value, up in zip(row, above, strict=True):
        to_left, to_up = up - corner, left - corner  # how far each is from left + up - corner
        to_corner = abs(to_left + to_up)
        to_left, to_up = abs(to_left), abs(to_up)
        nearest = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        corner = up
        left = (value + nearest) & 255
        yield left


_PREDICTED = {1: _sub, 3: _average, 4: _paeth}


def enlarge(picture: Picture, scale: int) -> Picture:
    """The picture ``scale`` times as wide and high, with samples between two taken from both (bilinear)."""
    wide = [_stretch(row, picture.channels, scale) for row in picture.rows]
    below = [*wide[1:], wide[-1]]
    rows = [row for pair in zip(wide, below, strict=True) for row in _between(*pair, scale)]
    return Picture(picture.width * scale, picture.height * scale, picture.channels, rows)


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
