"""Writes baseline JPEG files of tiles: each block of 8 by 8 pixels has one color, so only its mean is coded."""

from __future__ import annotations

import struct

from kosmolua.terminal.png import Picture

TILE = 8
# Code lengths of the DC table of annex K.3 of the JPEG standard, for both luminance and chrominance.
_LENGTHS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
_SYMBOLS = bytes(range(12))
_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110", "11111110", "111111110")
_END_OF_BLOCK = "0"  # the only code of the AC table


def write_jpeg(tiles: Picture, width: int, height: int) -> bytes:
    """A JPEG file of that size; each pixel of ``tiles`` is a block of 8 by 8."""
    parts = [
        b"\xff\xd8",
        _segment(0xE0, b"JFIF\0" + bytes((1, 1, 0, 0, 1, 0, 1, 0, 0))),
        _segment(0xDB, b"\0" + bytes([TILE]) * 64),  # all steps are 8: a DC value is the mean minus 128
        _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))),
        _segment(0xC4, b"\0" + _LENGTHS + _SYMBOLS),
        _segment(0xC4, b"\x10" + bytes((1,)) + bytes(15) + b"\0"),
        _segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
        _scan(tiles),
        b"\xff\xd9",
    ]
    return b"".join(parts)


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _scan(tiles: Picture) -> bytes:
    before, bits = (0, 0, 0), list[str]()
    for row in tiles.rows:
        for at in range(0, len(row), 3):
            now = _ycc(row[at], row[at + 1], row[at + 2])
            bits.extend(_difference(new - old) for new, old in zip(now, before, strict=True))
            before = now
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _ycc(red: int, green: int, blue: int) -> tuple[int, int, int]:
    """Luminance minus 128, and two color differences (JFIF)."""
    return (
        round(0.299 * red + 0.587 * green + 0.114 * blue) - 128,
        round(-0.1687 * red - 0.3313 * green + 0.5 * blue),
        round(0.5 * red - 0.4187 * green - 0.0813 * blue),
    )


def _difference(value: int) -> str:
    size = abs(value).bit_length()
    bits = f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""
    return _CODES[size] + bits + _END_OF_BLOCK
