"""Short valid files of many kinds, made without libraries: pictures, sound, video, archives, 3D models, text."""

from __future__ import annotations

import html
import io
import math
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from kosmolua.emulator import jpeg, video
from kosmolua.emulator.painting import compose, paint
from kosmolua.terminal.png import Picture, write_png

_PAINTED = 256  # largest painted edge in pixels: larger pictures repeat pixels
_SOUND = 22_050  # samples per second


@dataclass(frozen=True)
class Order:
    """What a file shows: a subject, a seed, and a size in pixels or seconds."""

    subject: str
    seed: int
    width: int = 512
    height: int = 512
    seconds: float = 1.0


def picture(order: Order, most: int = _PAINTED) -> Picture:
    """A painted picture of the requested size."""
    scale = -(-max(order.width, order.height) // most)
    small = paint(compose(order.subject, order.seed), -(-order.width // scale), -(-order.height // scale))
    return small if scale == 1 else _repeated(small, scale, order.width, order.height)


def _repeated(small: Picture, scale: int, width: int, height: int) -> Picture:
    rows = []
    for row in small.rows:
        wide = b"".join(row[at : at + 3] * scale for at in range(0, len(row), 3))[: width * 3]
        rows.extend([wide] * scale)
    return Picture(width, height, 3, rows[:height])


def _png(order: Order) -> bytes:
    return write_png(picture(order))


def _jpeg(order: Order) -> bytes:
    tile = jpeg.TILE
    small = Order(order.subject, order.seed, -(-order.width // tile), -(-order.height // tile))
    return jpeg.write_jpeg(picture(small), order.width, order.height)


def _tone(order: Order) -> tuple[int, int, int]:
    """One color of the picture, as red, green and blue."""
    row = paint(compose(order.subject, order.seed), 4, 4).rows[0]
    return row[0], row[1], row[2]


class _Bits:
    """Bits from the least significant on."""

    def __init__(self) -> None:
        self._value, self._count = 0, 0

    def put(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count

    def bytes(self) -> bytes:
        return self._value.to_bytes(-(-self._count // 8), "little")


def _webp(order: Order) -> bytes:
    """A lossless WebP file of one color: each prefix code has one symbol, so pixels take no bits (RFC 9649)."""
    bits = _Bits()
    bits.put(0x2F, 8)
    bits.put(order.width - 1, 14)
    bits.put(order.height - 1, 14)
    bits.put(0, 1 + 3 + 1 + 1 + 1)  # opaque, version 0, no transform, no color cache, no meta codes
    red, green, blue = _tone(order)
    for symbol in (green, red, blue, 255, 0):
        bits.put(0b101, 3)  # a simple code, one symbol, of 8 bits
        bits.put(symbol, 8)
    data = bits.bytes()
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _gif(order: Order) -> bytes:
    """A GIF file whose LZW codes are the pixels: the table is cleared before codes would exceed a byte."""
    shown = picture(order)
    levels = [value * 63 for value in range(5)]
    palette = bytes(part for red in levels for green in levels for blue in levels for part in (red, green, blue))
    step = bytes(value // 52 for value in range(256))
    rows = (row.translate(step) for row in shown.rows)
    pixels = bytes(25 * row[at] + 5 * row[at + 1] + row[at + 2] for row in rows for at in range(0, len(row), 3))
    runs = [b"\x80" + pixels[at : at + 120] for at in range(0, len(pixels), 120)]
    data = b"".join(bytes([len(run)]) + run for run in [*runs, b"\x81"])
    head = struct.pack("<HHBBB", order.width, order.height, 0xE6, 0, 0) + palette.ljust(3 * 128, b"\0")
    place = b"," + struct.pack("<HHHHB", 0, 0, order.width, order.height, 0)
    return b"GIF89a" + head + place + b"\7" + data + b"\0;"


def _wav(order: Order) -> bytes:
    pitch = 220 * 2 ** (order.seed % 12 / 12)
    count = round(_SOUND * order.seconds)
    samples = (round(8000 * math.sin(2 * math.pi * pitch * at / _SOUND)) for at in range(count))
    data = struct.pack(f"<{count}h", *samples)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _SOUND, _SOUND * 2, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _mp3(order: Order) -> bytes:
    """Silence: frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono, without data."""
    frame = b"\xff\xfb\x90\xc4" + bytes(413)
    return frame * max(1, round(order.seconds * 44_100 / 1152))


def _midi(order: Order) -> bytes:
    notes = b"".join(bytes([0, 0x90, 60 + (order.seed + at * 4) % 12, 64, 96, 0x80, 60, 0]) for at in range(4))
    track = notes + b"\x00\xff\x2f\x00"
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96)
    return head + b"MTrk" + struct.pack(">I", len(track)) + track


def _mp4(order: Order) -> bytes:
    scene = compose(order.subject, order.seed)
    frames = [paint(scene, video.EDGE, video.EDGE, at / video.FRAMES) for at in range(video.FRAMES)]
    return video.write_mp4(frames, order.seconds)


def _zip(order: Order) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("output.txt"), _text(order))
    return out.getvalue()


def _tar(order: Order) -> bytes:
    out, text = io.BytesIO(), _text(order)
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("output.txt")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return out.getvalue()


_TRIANGLE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def _glb(_: Order) -> bytes:
    """A binary glTF file of one triangle."""
    points = struct.pack("<9f", *_TRIANGLE)
    scene = (
        b'{"asset":{"version":"2.0"},"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"mesh":0}],'
        b'"meshes":[{"primitives":[{"attributes":{"POSITION":0}}]}],"buffers":[{"byteLength":36}],'
        b'"bufferViews":[{"buffer":0,"byteLength":36}],"accessors":[{"bufferView":0,"componentType":5126,'
        b'"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}]}'
    )
    scene += b" " * (-len(scene) % 4)
    parts = struct.pack("<I4s", len(scene), b"JSON") + scene + struct.pack("<I4s", len(points), b"BIN\0") + points
    return b"glTF" + struct.pack("<II", 2, 12 + len(parts)) + parts


def _obj(_: Order) -> bytes:
    return b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def _ply(_: Order) -> bytes:
    head = b"ply\nformat ascii 1.0\nelement vertex 3\n"
    return head + b"property float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n1 0 0\n0 1 0\n"


def _npy(_: Order) -> bytes:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }"
    head = head.ljust(128 - 10 - 1) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + struct.pack("<9f", *_TRIANGLE)


def _safetensors(_: Order) -> bytes:
    head = b'{"weight":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'
    return struct.pack("<Q", len(head)) + head + struct.pack("<9f", *_TRIANGLE)


def _svg(order: Order) -> bytes:
    red, green, blue = _tone(order)
    size = f'width="{order.width}" height="{order.height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect {size} fill="rgb({red},{green},{blue})"/></svg>\n'
    ).encode()


def _srt(order: Order) -> bytes:
    return b"1\n00:00:00,000 --> 00:00:01,000\n" + _text(order)


def _vtt(order: Order) -> bytes:
    return b"WEBVTT\n\n00:00.000 --> 00:01.000\n" + _text(order)


def _json(order: Order) -> bytes:
    return msgspec.json.encode({"text": order.subject, "seed": order.seed}) + b"\n"


def _html(order: Order) -> bytes:
    return f"<!doctype html>\n<title>Output</title>\n<p>{html.escape(order.subject)}</p>\n".encode()


def _text(order: Order) -> bytes:
    return f"{order.subject}\n".encode()


MAKERS: dict[str, tuple[str, Callable[[Order], bytes]]] = {
    "png": ("image/png", _png),
    "jpg": ("image/jpeg", _jpeg),
    "jpeg": ("image/jpeg", _jpeg),
    "webp": ("image/webp", _webp),
    "gif": ("image/gif", _gif),
    "svg": ("image/svg+xml", _svg),
    "mp4": ("video/mp4", _mp4),
    "wav": ("audio/wav", _wav),
    "mp3": ("audio/mpeg", _mp3),
    "mid": ("audio/midi", _midi),
    "midi": ("audio/midi", _midi),
    "zip": ("application/zip", _zip),
    "tar": ("application/x-tar", _tar),
    "glb": ("model/gltf-binary", _glb),
    "obj": ("model/obj", _obj),
    "ply": ("application/octet-stream", _ply),
    "npy": ("application/octet-stream", _npy),
    "safetensors": ("application/octet-stream", _safetensors),
    "srt": ("application/x-subrip", _srt),
    "vtt": ("text/vtt", _vtt),
    "json": ("application/json", _json),
    "html": ("text/html", _html),
    "md": ("text/markdown", _text),
    "csv": ("text/csv", _text),
    "txt": ("text/plain", _text),
}
"""By file extension: the content type, and the function that makes the file."""
IMAGES = frozenset({"png", "jpg", "jpeg", "webp", "gif", "svg"})
SOUNDS = frozenset({"wav", "mp3", "mid", "midi"})
FILMS = frozenset({"mp4"})
_ANY = ("application/octet-stream", _text)


def maker(extension: str) -> tuple[str, Callable[[Order], bytes]]:
    """The content type of a kind of file and the function that makes it; text for an unknown kind."""
    return MAKERS.get(extension.lower(), _ANY)
