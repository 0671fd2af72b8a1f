"""Images are drawn in the protocols that terminals support."""

import base64
import struct
import warnings
import zlib
from io import BytesIO

import pytest
from PIL import Image
from sixel import decoded

from kosmolua.terminal import images
from kosmolua.terminal.images import protocol_of, shown
from kosmolua.terminal.png import Picture, write_png
from kosmolua.terminal.query import Sixel

RED, BLUE = b"\xff\0\0", b"\0\0\xff"
PNG = write_png(Picture(2, 2, 3, [RED + BLUE, BLUE + RED]))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "blocks"),
        ({"TERM": "dumb"}, "none"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "none"),
        ({}, "none"),
    ],
)
def test_the_protocol_of_the_terminal(environment, expected):
    """The protocol depends on the environment; without a protocol nothing is drawn."""
    assert expected == protocol_of(environment)


def test_half_blocks():
    """Each cell has two pixels: the foreground color above the background color."""
    line = "\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m▀\x1b[38;2;0;0;255m\x1b[48;2;255;0;0m▀\x1b[0m\n"

    assert line == shown(PNG, "blocks")


def test_a_large_picture_is_scaled_down():
    """The picture fits into the cells and keeps its proportions."""
    picture = write_png(Picture(400, 200, 3, [RED * 400] * 200))
    lines = shown(picture, "blocks", 40, 20).splitlines()

    assert (10, 40) == (len(lines), lines[0].count("▀"))


def test_the_terminals_own_protocols():
    """kitty gets Base64 in pieces, and iTerm2 the whole file."""
    large = write_png(Picture(100, 100, 3, [bytes(range(100)) * 3] * 100)) + bytes(9000)
    kitty = shown(large, "kitty")
    pieces = [
        part.split(";", 1) for part in kitty.strip().removeprefix("\x1b_G").removesuffix("\x1b\\").split("\x1b\\\x1b_G")
    ]
    assert large == base64.b64decode("".join(piece for _, piece in pieces))
    assert ["m=1"] * (len(pieces) - 1) + ["m=0"] == [head.split(",")[-1] for head, _ in pieces]

    jpeg = b"\xff\xd8 jpeg"
    iterm = shown(jpeg, "iterm")
    assert iterm.startswith("\x1b]1337;File=")
    assert iterm.endswith(f":{base64.b64encode(jpeg).decode()}\a\n")


@pytest.mark.parametrize(
    ("size", "cell", "expected"),
    [
        ((400, 200), (10, 20), (400, 200)),  # never enlarged
        ((3000, 100), (10, 20), (400, 13)),  # 40 columns
        ((100, 1000), (8, 16), (16, 160)),  # 10 rows
        ((2000, 1000), (30, 60), (800, 400)),  # on a screen with many small pixels
        ((3000, 1), (10, 20), (400, 1)),
    ],
)
def test_a_sixel_image_fits_into_the_cells(size, cell, expected):
    """A sixel image keeps its proportions, and is never larger than the original or 800 pixels."""
    width, height = size
    picture = write_png(Picture(width, height, 3, [RED * width] * height))
    pixels = decoded(shown(picture, "blocks", 40, 10, sixel=Sixel(256, cell)).removesuffix("\n"))

    assert expected == (len(pixels[0]), len(pixels))
    assert {(255, 0, 0)} == {pixel for row in pixels for pixel in row}


@pytest.mark.parametrize(
    ("data", "protocol"), [(b"\xff\xd8 jpeg", "blocks"), (b"", "blocks"), (PNG, "none"), (PNG[:40], "blocks")]
)
def test_invalid_images_are_not_shown(data, protocol):
    """Bytes that are not an image never reach the terminal."""
    assert shown(data, protocol) is None


def saved(kind, mode="RGB", size=(80, 40), **options):
    """A file whose left half is red, and whose right half is blue."""
    picture = Image.new("RGB", size, (255, 0, 0))
    picture.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
    file = BytesIO()
    picture.convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("WEBP", "RGB"), ("GIF", "P"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "RGB")]
)
def test_every_kind_of_image(kind, mode):
    """With Pillow, JPEG, WebP, GIF and every PNG are shown in each protocol."""
    data = saved(kind, mode)
    pixels = decoded(shown(data, "blocks", 40, 10, sixel=Sixel()).removesuffix("\n"))
    kitty = shown(data, "kitty").split(";", 1)[1]

    assert (80, 40) == (len(pixels[0]), len(pixels))
    for x, expected in ((5, (255, 0, 0)), (75, (0, 0, 255))):
        assert all(abs(a - b) < 12 for a, b in zip(expected, pixels[20][x], strict=True))
    assert kitty.startswith(base64.b64encode(b"\x89PNG\r\n").decode())


def test_without_pillow_only_a_plain_png_is_shown(monkeypatch):
    """Other images are shown only if the terminal itself reads files."""
    monkeypatch.setattr(images, "needs_pillow", lambda: True)

    assert shown(saved("PNG"), "blocks").count("▀") == 60 * 15
    assert shown(saved("PNG", "P"), "blocks") is None
    assert shown(saved("JPEG"), "blocks") is None


def test_an_image_with_too_many_pixels_is_not_read(monkeypatch):
    """A small file may have more pixels than fit in memory."""
    monkeypatch.setattr(images, "_MOST_READ", 80 * 40 - 1)

    assert shown(saved("PNG"), "blocks") is None


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def segment(number, content):
    return bytes([0xFF, number]) + struct.pack(">H", len(content) + 2) + content


ODD = {
    "a bomb by its header": PNG[:8] + chunk(b"IHDR", struct.pack(">II", 10_000, 9_500) + b"\x08\x02\0\0\0") + PNG[33:],
    "a bomb of a GIF": b"GIF89a"
    + struct.pack("<HH", 9_500, 9_500)
    + b"\x80\0\0"
    + bytes(6)
    + b",\0\0\0\0\2\0\2\0\0\2\1\x44\0;",
    "no animation": PNG[:33] + chunk(b"acTL", bytes(8)) + PNG[33:],
    "no EXIF": b"\xff\xd8" + segment(0xE1, b"Exif\0\0II*\0\xff\0\0\0"),
    "no pictures": b"\xff\xd8" + segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0\0\xb0" + b"\xff" * 8),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_warnings_of_pillow_are_hidden(data):
    """Only the image appears at the prompt."""
    if data.startswith(b"\xff\xd8"):
        data += saved("JPEG")[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown(data, "blocks")


def test_a_jpeg_with_too_many_scans_is_not_read():
    """A JPEG of 140 kB may take seconds, a larger one minutes."""
    whole = saved("JPEG", progressive=True, size=(2000, 2000))
    at = whole.rindex(b"\xff\xda")

    assert shown(whole, "blocks")
    assert shown(whole[:at] + whole[at:-2] * 1000 + whole[-2:], "blocks") is None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "PNG"])
def test_a_damaged_image_is_not_shown(kind):
    """An image that was truncated or changed anywhere causes no error."""
    whole = saved(kind)
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        shown(whole[:at], "blocks")
        shown(whole[:at] + b"\xff" + whole[at + 1 :], "blocks")
    assert shown(whole[: len(whole) // 8], "blocks") is None
