"""Writes short MP4 files (ISO 14496-12) of H.264 pictures without compression: macroblocks of kind I_PCM."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from kosmolua.terminal.png import Picture

EDGE = 64
FRAMES = 8
_BLOCK = 16  # pixels of a macroblock's edge
_SCALE = 1000  # time units per second


class _Bits:
    """Bits, most significant first, with the codes of H.264."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._length = 0

    def put(self, value: int, count: int) -> None:
        self._text.append(f"{value:0{count}b}")
        self._length += count

    def golomb(self, *values: int) -> None:
        """Unsigned Exp-Golomb codes (clause 9.1)."""
        for value in values:
            self.put(value + 1, 2 * (value + 1).bit_length() - 1)

    def align(self) -> None:
        if rest := -self._length % 8:
            self.put(0, rest)

    def bytes(self) -> bytes:
        """The bits after the stop bit and the bits that align it."""
        self.put(1, 1)
        self.align()
        text = "".join(self._text)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def _unit(kind: int, bits: _Bits) -> bytes:
    """A NAL unit. No samples are small enough that bytes would have to be escaped."""
    return bytes([kind]) + bits.bytes()


def _sequence(blocks: int) -> bytes:
    """The sequence parameter set: constrained baseline, level 3.0."""
    bits = _Bits()
    for value in (66, 0xC0, 30):
        bits.put(value, 8)
    bits.golomb(0, 0, 2, 0)  # id, frame numbers of 4 bits, order of output as decoded, no references
    bits.put(0, 1)
    bits.golomb(blocks - 1, blocks - 1)
    bits.put(0b1000, 4)  # frames only, no direct inference, no cropping, no VUI
    return _unit(0x67, bits)


def _parameters() -> bytes:
    """The picture parameter set: CAVLC, one slice group, the loop filter controlled by slices."""
    bits = _Bits()
    bits.golomb(0, 0)
    bits.put(0, 2)
    bits.golomb(0, 0, 0)
    bits.put(0, 3)
    bits.golomb(0, 0, 0)
    bits.put(0b100, 3)
    return _unit(0x68, bits)


def _slice(picture: Picture, number: int) -> bytes:
    """One picture as an IDR slice."""
    bits = _Bits()
    bits.golomb(0, 7, 0)  # first macroblock, intra only, parameter set
    bits.put(0, 4)
    bits.golomb(number % 2)  # adjacent IDR pictures have different ids
    bits.put(0, 2)
    bits.golomb(0, 1)  # no change of the quantizer; no loop filter
    for top in range(0, picture.height, _BLOCK):
        for left in range(0, picture.width, _BLOCK):
            bits.golomb(25)  # I_PCM
            bits.align()
            for sample in _samples(picture, left, top):
                bits.put(sample, 8)
    return _unit(0x65, bits)


def _samples(picture: Picture, left: int, top: int) -> Iterable[int]:
    """A macroblock's luminance, then both color differences at half the size, within 16 to 235."""
    rows = [picture.rows[top + y][3 * left : 3 * (left + _BLOCK)] for y in range(_BLOCK)]
    for row in rows:
        yield from (_mix(row, 3 * x, (66, 129, 25), 16) for x in range(_BLOCK))
    for weights in ((-38, -74, 112), (112, -94, -18)):
        for row in rows[::2]:
            yield from (_mix(row, 3 * x, weights, 128) for x in range(0, _BLOCK, 2))


def _mix(row: bytes, at: int, weights: tuple[int, int, int], base: int) -> int:
    value = base + (row[at] * weights[0] + row[at + 1] * weights[1] + row[at + 2] * weights[2]) // 256
    return min(235, max(16, value))


def _box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind.encode() + body


def _full(kind: str, form: str, *values: int, flags: int = 0, parts: bytes = b"") -> bytes:
    return _box(kind, struct.pack(">I" + form, flags, *values), parts)


_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def write_mp4(frames: Sequence[Picture], seconds: float) -> bytes:
    """A video of square frames, whose edge is a multiple of 16 pixels; together they last that many seconds."""
    edge, step = frames[0].width, max(1, round(seconds * _SCALE / len(frames)))
    shown = [_slice(frame, number) for number, frame in enumerate(frames)]
    samples = [struct.pack(">I", len(one)) + one for one in shown]
    kind = _box("ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    data = _box("mdat", *samples)
    track = _track(edge, step, [len(one) for one in samples], len(kind) + 8)
    duration = step * len(frames)
    rest = _MATRIX + bytes(24) + struct.pack(">I", 2)  # the next track
    movie = _full("mvhd", "IIIIIHHII", 0, 0, _SCALE, duration, 1 << 16, 0x0100, 0, 0, 0, parts=rest)
    return kind + data + _box("moov", movie, track)


def _track(edge: int, step: int, sizes: list[int], offset: int) -> bytes:
    duration = step * len(sizes)
    head = _full("tkhd", "IIIIIQHHHH", 0, 0, 1, 0, duration, 0, 0, 0, 0, 0, flags=3, parts=_MATRIX + _size(edge))
    media = _full("mdhd", "IIIIHH", 0, 0, _SCALE, duration, 0x55C4, 0)
    handler = _full("hdlr", "I", 0, parts=b"vide" + bytes(13))
    return _box("trak", head, _box("mdia", media, handler, _information(edge, step, sizes, offset)))


def _size(edge: int) -> bytes:
    return struct.pack(">II", edge << 16, edge << 16)


def _information(edge: int, step: int, sizes: list[int], offset: int) -> bytes:
    source = _full("dref", "I", 1, parts=_full("url ", "", flags=1))
    count = len(sizes)
    table = _box(
        "stbl",
        _full("stsd", "I", 1, parts=_entry(edge)),
        _full("stts", "III", 1, count, step),
        _full("stsc", "IIII", 1, 1, count, 1),
        _full("stsz", f"II{count}I", 0, count, *sizes),
        _full("stco", "II", 1, offset),
    )
    return _box("minf", _full("vmhd", "HHHH", 0, 0, 0, 0, flags=1), _box("dinf", source), table)


def _entry(edge: int) -> bytes:
    """The sample entry of H.264, with both parameter sets."""
    sequence, parameters = _sequence(edge // _BLOCK), _parameters()
    sets = struct.pack(">BH", 0xE1, len(sequence)) + sequence + struct.pack(">BH", 1, len(parameters)) + parameters
    head = struct.pack(">6xHHH12xHHIIIH32xHH", 1, 0, 0, edge, edge, 0x480000, 0x480000, 0, 1, 24, 0xFFFF)
    return _box("avc1", head, _box("avcC", bytes([1]) + sequence[1:4] + b"\xff" + sets))
