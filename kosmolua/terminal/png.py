"""Read and write PNG files without a library."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}
_COLOUR_TYPES = {3: 2, 4: 6}


class PictureError(ValueError):
    """The bytes are not a PNG file of a supported kind."""


@dataclass(frozen=True)
class Picture:
    """Rows of 8-bit samples, three (RGB) or four (RGBA) to a pixel."""

    width: int
    height: int
    channels: int
    rows: Sequence[bytes]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file: length, kind, content and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, channels: int) -> bytes:
    """The IHDR chunk: size and sample format."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0))


def packed(rows: Iterable[bytes]) -> bytes:
    """The compressed samples. Only one row at a time is in memory."""
    # Filter 0 on every row: unfiltered samples. Compression level 1 saves most of the time.
    compressor = zlib.compressobj(1)
    parts = [compressor.compress(b"\0" + row) for row in rows]
    return b"".join([*parts, compressor.flush()])


def write_rows(rows: Iterable[bytes], width: int, height: int, channels: int) -> bytes:
    """A PNG file with these rows. ``rows`` may be an iterator that produces them one by one."""
    return SIGNATURE + header(width, height, channels) + chunk(b"IDAT", packed(rows)) + chunk(b"IEND", b"")


def write_png(picture: Picture) -> bytes:
    return write_rows(picture.rows, picture.width, picture.height, picture.channels)


def read_png(data: bytes, *, most_pixels: int = 4_000_000) -> Picture:
    """The picture in a PNG file with 8-bit RGB or RGBA samples that is not interlaced."""
    if not data.startswith(SIGNATURE):
        raise PictureError("not a PNG file")
    try:
        chunks = list(_chunks(data))
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
        if depth != 8 or colour not in _CHANNELS or interlaced:  # noqa: PLR2004 - bits per sample
            raise PictureError("unsupported PNG: expected 8-bit RGB or RGBA samples, not interlaced")
        if not 0 < width * height <= most_pixels:
            raise PictureError(f"a picture of {width} x {height} pixels exceeds the limit of {most_pixels} pixels")
        size = (width * _CHANNELS[colour] + 1) * height
        packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
        # Bounded, so that a few kB cannot decompress to gigabytes.
        samples = zlib.decompressobj().decompress(packed, size)
    except (struct.error, zlib.error, IndexError) as error:
        raise PictureError("damaged PNG file") from error
    if len(samples) != size:
        raise PictureError("truncated PNG file")
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
        raise PictureError("damaged PNG file")
    done = bytearray(len(row))
    for channel in range(step):
        done[channel::step] = bytes(_PREDICTED[kind](row[channel::step], above[channel::step]))
    return bytes(done)


# Unfilter one channel of a row, given the filtered row and the row above. Written out for speed: a picture of
# 1024 x 1024 has three million samples.


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
        to_left, to_up = up - corner, left - corner  # the distance of each from left + up - corner
        to_corner = abs(to_left + to_up)
        to_left, to_up = abs(to_left), abs(to_up)
        nearest = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        corner = up
        left = (value + nearest) & 255
        yield left


_PREDICTED = {1: _sub, 3: _average, 4: _paeth}
