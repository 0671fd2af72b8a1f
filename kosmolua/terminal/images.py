"""Images on a terminal: in the terminal's image protocol if it has one, else as half blocks of two pixels each."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Literal

from kosmolua.terminal.plain import is_plain
from kosmolua.terminal.png import SIGNATURE, Picture, PictureError, read_png, write_png
from kosmolua.terminal.query import Sixel

Protocol = Literal["kitty", "iterm", "blocks", "none"]
MAX_BYTES = 20 * 1024 * 1024
_MOST_PIXELS = 800  # longest side of a sixel image; some terminals accept at most 1000
_CHUNK = 4096  # Base64 bytes in one command of the kitty protocol
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # the image formats that models produce
_MOST_READ = 40_000_000  # the most pixels of an image that Pillow decodes
_JPEG, _SCAN, _MOST_SCANS = (
    b"\xff\xd8",
    b"\xff\xda",
    100,
)  # the most scans of a progressive JPEG, since each decodes all pixels; ten are usual


def protocol_of(environment: Mapping[str, str]) -> Protocol:
    """The image protocol of the terminal, according to its environment. Multiplexers pass none through. For blocks,
    the terminal can be asked for sixel support.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if is_plain(environment):
        return "none"
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return "blocks"
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    return "iterm" if program in ("iTerm.app", "WezTerm") else "blocks"


def is_png(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def shown(
    data: bytes, protocol: Protocol, columns: int = 60, rows: int = 20, *, sixel: Sixel | None = None
) -> str | None:
    """The text that shows the image in at most ``columns`` and ``rows`` cells; None if it cannot be shown. ``sixel`` is
    used instead of blocks if given.
    """
    if protocol == "kitty" and is_png(data):
        return _kitty(data, columns, rows)
    if protocol == "iterm":
        size = f"width={columns};height={rows};preserveAspectRatio=1;inline=1"
        return f"\x1b]1337;File={size};size={len(data)}:{base64.b64encode(data).decode()}\a\n"
    picture = None if protocol == "none" else _read(data)
    if picture is None:
        return None
    if protocol == "kitty":
        return _kitty(write_png(picture), columns, rows)
    return _sixel(picture, columns, rows, sixel) if sixel else "".join(_blocks(picture, columns, rows))


def needs_pillow() -> bool:
    """Whether Pillow is missing. Without it only plain PNG can be read."""
    from importlib.util import find_spec

    return find_spec("PIL") is None


def _read(data: bytes) -> Picture | None:
    """The pixels of an image: with Pillow if it is installed, else only of a plain PNG."""
    if not needs_pillow():
        return _read_any(data)
    try:
        return read_png(data)
    except PictureError:
        return None


def _read_any(data: bytes) -> Picture | None:
    import warnings

    from PIL import Image

    if data.startswith(_JPEG) and data.count(_SCAN) > _MOST_SCANS:
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_READ:
                return None
            image.draft("RGB", (_MOST_PIXELS, _MOST_PIXELS))  # decode a large JPEG at reduced size
            image.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
            pixels = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError):
        return None  # the file is damaged, or not an image
    width, content = 4 * pixels.width, pixels.tobytes()
    rows = [content[at : at + width] for at in range(0, len(content), width)]
    return Picture(pixels.width, pixels.height, 4, rows)


def _kitty(data: bytes, columns: int, rows: int) -> str:
    encoded = base64.b64encode(data).decode()
    pieces = [encoded[at : at + _CHUNK] for at in range(0, len(encoded), _CHUNK)]
    height = _fitting(*_size(data), columns, rows)[1]
    head = f"f=100,a=T,q=2,r={-(-height // 2)},"
    parts = [
        f"\x1b_G{head if at == 0 else ''}m={int(at < len(pieces) - 1)};{piece}\x1b\\" for at, piece in enumerate(pieces)
    ]
    return "".join(parts) + "\n"


def _size(png: bytes) -> tuple[int, int]:
    return max(1, int.from_bytes(png[16:20])), max(1, int.from_bytes(png[20:24]))


def _sixel(picture: Picture, columns: int, rows: int, terminal: Sixel) -> str:
    from kosmolua.terminal import sixel

    most = [min(cells * pixels, _MOST_PIXELS) for cells, pixels in zip((columns, rows), terminal.cell, strict=True)]
    scale = min(most[0] / picture.width, most[1] / picture.height, 1.0)
    width, height = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
    return sixel.encode(picture, width, height, terminal.colours) + "\n"


def _fitting(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """The size in columns and half rows that keeps the aspect ratio: a cell is about twice as high as it is wide."""
    scale = min(columns / width, 2 * rows / height, 1.0)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _blocks(picture: Picture, columns: int, rows: int) -> Iterator[str]:
    """The picture as upper half blocks: a cell's foreground is one pixel, and its background the pixel below."""
    width, height = _fitting(picture.width, picture.height, columns, rows)
    for y in range(0, height, 2):
        for x in range(width):
            upper = _sample(picture, x, y, width, height)
            lower = _sample(picture, x, y + 1, width, height) if y + 1 < height else None
            background = f"\x1b[48;2;{lower[0]};{lower[1]};{lower[2]}m" if lower else "\x1b[49m"
            yield f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]}m{background}▀"
        yield "\x1b[0m\n"


def _sample(picture: Picture, x: int, y: int, width: int, height: int) -> tuple[int, int, int]:
    """The mean color of up to four by four pixels in the area of half a cell."""
    xs = _between(x, width, picture.width)
    ys = _between(y, height, picture.height)
    found = [picture.rows[b][a * picture.channels : a * picture.channels + 3] for b in ys for a in xs]
    red, green, blue = (sum(pixel[channel] for pixel in found) // len(found) for channel in range(3))
    return red, green, blue


def _between(at: int, cells: int, pixels: int) -> range:
    first, last = at * pixels // cells, max(at * pixels // cells + 1, (at + 1) * pixels // cells)
    return range(first, last, max(1, (last - first) // 4))
