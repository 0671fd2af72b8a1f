"""Paints the output of the image models: a landscape determined by prompt and seed."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from kosmolua.emulator.identifiers import number
from kosmolua.terminal.png import Picture

# The hue of the sky for words in the prompt, as a fraction of the color wheel.
HUES = {
    "red": 0.0,
    "fire": 0.03,
    "orange": 0.07,
    "sunset": 0.06,
    "autumn": 0.08,
    "gold": 0.12,
    "yellow": 0.14,
    "green": 0.36,
    "forest": 0.33,
    "sea": 0.5,
    "ocean": 0.52,
    "blue": 0.58,
    "night": 0.66,
    "purple": 0.77,
    "pink": 0.9,
}
_HILLS = 4
_TONES = 256


@dataclass(frozen=True)
class Scene:
    """A scene; positions are fractions of the picture's width and height."""

    sky: tuple[bytes, ...]
    hills: tuple[bytes, ...]
    waves: tuple[tuple[float, float, float], ...]
    ridges: tuple[tuple[float, tuple[tuple[float, float, float], ...]], ...]
    sun: tuple[float, float, float]
    glow: bytes


def _colour(hue: float, saturation: float, value: float) -> bytes:
    return bytes(round(part * 255) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def compose(prompt: str, seed: int) -> Scene:
    """The scene for a prompt and seed, always the same."""
    chance = Random(number(prompt, seed))  # noqa: S311 - not a secret
    named = [HUES[word] for word in prompt.lower().replace(",", " ").split() if word in HUES]
    hue = named[0] if named else chance.random()
    drift = chance.uniform(0.06, 0.16) * chance.choice((-1, 1))
    return Scene(
        sky=_sky(hue, drift),
        hills=tuple(_colour(hue + 0.5 + drift, 0.25 + 0.12 * far, 0.62 - 0.15 * far) for far in range(_HILLS)),
        waves=tuple((chance.uniform(1, 4), chance.uniform(0, 6.3), chance.uniform(8, 22)) for _ in range(3)),
        ridges=tuple(_ridge(chance, far) for far in range(_HILLS)),
        sun=(chance.uniform(0.2, 0.8), chance.uniform(0.15, 0.42), chance.uniform(0.06, 0.12)),
        glow=_colour(hue + 0.08, 0.18, 1.0),
    )


def _sky(hue: float, drift: float) -> tuple[bytes, ...]:
    tones = [tone / (_TONES - 1) for tone in range(_TONES)]
    return tuple(_colour(hue + drift * t, 0.75 - 0.45 * t, 0.55 + 0.42 * t) for t in tones)


def _ridge(chance: Random, far: int) -> tuple[float, tuple[tuple[float, float, float], ...]]:
    base = 0.5 + 0.13 * far
    waves = tuple(
        (chance.uniform(0.7, 1.6) * 2**octave, chance.uniform(0, 6.3), 0.055 / 2**octave) for octave in range(4)
    )
    return base, waves


def paint(scene: Scene, width: int, height: int, moment: float = 0.0) -> Picture:
    """Paint the scene. ``moment`` from 0 to 1 moves clouds and sun through one cycle."""
    return Picture(width, height, 3, list(painted(scene, width, height, moment)))


def painted(scene: Scene, width: int, height: int, moment: float = 0.0) -> Iterator[bytes]:
    """The rows of the picture, one at a time to save memory: many pictures may be painted at once."""
    turn = 2 * math.pi * moment
    across, down, slant = (_wave(one, width, height, turn) for one in scene.waves)
    ridges = [_heights(ridge, width, height) for ridge in scene.ridges]
    for y in range(height):
        tone = 40 + 190 * y // height + down[y]
        sky = [scene.sky[_bounded(tone + a + b)] for a, b in zip(across[:width], slant[y : y + width], strict=True)]
        _put_sun(sky, scene, (width, height), y, moment)
        yield b"".join(_put_hills(sky, scene.hills, ridges, y))


def _bounded(tone: int) -> int:
    return 0 if tone < 0 else min(tone, _TONES - 1)


def _wave(wave: tuple[float, float, float], width: int, height: int, turn: float) -> list[int]:
    turns, phase, strength = wave
    length = width + height
    return [round(strength * math.sin(2 * math.pi * turns * at / length + phase + turn)) for at in range(length)]


def _heights(ridge: tuple[float, tuple[tuple[float, float, float], ...]], width: int, height: int) -> list[int]:
    base, waves = ridge
    places = [2 * math.pi * x / width for x in range(width)]
    return [
        round(height * (base + sum(high * math.sin(turns * place + phase) for turns, phase, high in waves)))
        for place in places
    ]


def _put_sun(row: list[bytes], scene: Scene, size: tuple[int, int], y: int, moment: float) -> None:
    width, height = size
    x, level, radius = scene.sun
    radius *= min(width, height)
    level = (level + 0.04 * math.sin(2 * math.pi * moment)) * height
    square = radius * radius - (y - level) ** 2
    if square > 0:
        half = math.sqrt(square)
        start, end = max(0, round(x * width - half)), min(width, round(x * width + half))
        row[start:end] = [scene.glow] * max(0, end - start)


def _put_hills(sky: list[bytes], colours: tuple[bytes, ...], ridges: list[list[int]], y: int) -> list[bytes]:
    row = sky
    for colour, ridge in zip(colours, ridges, strict=True):
        if y >= min(ridge):
            row = [colour if y >= top else below for below, top in zip(row, ridge, strict=True)]
    return row
