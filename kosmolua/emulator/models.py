"""The emulated models: input schema, duration and computation of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from kosmolua.emulator import familiar, text
from kosmolua.emulator.identifiers import number
from kosmolua.emulator.painting import compose, paint, painted
from kosmolua.emulator.picture import enlarged, write_animation
from kosmolua.terminal.png import PictureError, read_png, write_rows

Schema = familiar.Schema


class ModelError(Exception):
    """A failure of the model. The message becomes the ``error`` of the prediction."""


@dataclass(frozen=True)
class FileRef:
    """A placeholder in an output for the URL of one of its files."""

    name: str


@dataclass(frozen=True)
class Work:
    """One run: the input with defaults, a seed, and the content of each URL in the input (or an error message)."""

    input: Mapping[str, Any]
    seed: int
    sources: Mapping[str, Content | str] = field(default_factory=dict)


class Content:
    """The bytes of a file, made when they are first read. Thread-safe."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: bytes | None = None

    def read(self) -> bytes:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def given(content: bytes) -> Content:
    """The content of a file whose bytes already exist."""
    return Content(lambda: content)


@dataclass(frozen=True)
class Outcome:
    """The result of a run: its output, files by name as (content type, content), and what is billed for it."""

    output: Any
    files: Mapping[str, tuple[str, Content]] = field(default_factory=dict)
    error: str | None = None
    units: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Behaviour:
    """The behavior of a model. Times are in seconds of the emulator's clock; ``steps`` is the number of progress bar
    lines, ``seconds`` the length of the model's video.
    """

    compute: Callable[[Work], Outcome]
    starts: float = 0.2
    runs: Callable[[Work], float] = lambda _: 0.5
    steps: int = 0
    streams: bool = False
    reads: tuple[str, ...] = ()
    seconds: float = 0.0


def _field(title: str, kind: str, order: int, description: str, **facts: Any) -> Schema:
    return {"type": kind, "title": title, "x-order": order, "description": description, **facts}


def describe(fields: Mapping[str, Schema], required: tuple[str, ...], output: Schema, **more: Schema) -> Schema:
    """The OpenAPI document of a version, with the schemas of input and output."""
    taken = {"type": "object", "title": "Input", "properties": dict(fields), "required": list(required)}
    schemas = {"Input": taken, "Output": {"title": "Output", **output}, **more}
    return {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"}, "components": {"schemas": schemas}}


SEED = "Seed of the result; by default different for every run."
URI: Schema = {"type": "string", "format": "uri"}
STRING: Schema = {"type": "string"}


def _greet(work: Work) -> Outcome:
    return Outcome(f"hello {work.input['text']}")


HELLO = Behaviour(_greet, runs=lambda _: 0.3)
HELLO_SCHEMA = describe({"text": _field("Text", "string", 0, "Text to put after 'hello '.")}, ("text",), STRING)


def _tokens(work: Work) -> tuple[str, ...]:
    given = work.input
    return text.write(
        given["prompt"],
        given["system_prompt"],
        work.seed,
        given["temperature"],
        given["min_tokens"],
        given["max_tokens"],
    )


def _write(work: Work) -> Outcome:
    return Outcome(list(_tokens(work)))


WRITER = Behaviour(_write, runs=lambda work: 0.3 + 0.015 * len(_tokens(work)), streams=True)
WRITER_SCHEMA = describe(
    familiar.after(
        {
            "prompt": _field("Prompt", "string", 0, "What to write about."),
            "system_prompt": _field("System Prompt", "string", 1, "Text in front of the prompt.", default=""),
            "max_tokens": _field("Max Tokens", "integer", 2, "Most tokens.", default=512, minimum=1, maximum=4096),
            "min_tokens": _field("Min Tokens", "integer", 3, "Fewest tokens.", default=0, minimum=0, maximum=4096),
            "temperature": _field(
                "Temperature", "number", 4, "0 gives the same text every time.", default=0.7, minimum=0, maximum=5
            ),
            "seed": _field("Seed", "integer", 5, SEED),
        },
        familiar.LLAMA,
    ),
    ("prompt",),
    {"type": "array", "items": STRING, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"},
)


def _paint(work: Work) -> Outcome:
    given = work.input
    width, height = familiar.sides(given["width"], given["height"], given["aspect_ratio"])

    def picture(index: int) -> bytes:
        return write_rows(painted(compose(given["prompt"], work.seed + index), width, height), width, height, 3)

    files = {
        f"out-{index}.png": ("image/png", Content(partial(picture, index))) for index in range(given["num_outputs"])
    }
    return Outcome([FileRef(name) for name in files], files)


PAINTER = Behaviour(_paint, runs=lambda work: 0.6 + 0.2 * work.input["num_outputs"], steps=4)
PICTURES: Schema = {"type": "array", "items": URI}


def _painter_fields(default: int) -> dict[str, Schema]:
    edge = {"default": default, "minimum": 16, "maximum": 1024}
    return {
        "prompt": _field("Prompt", "string", 0, "What to paint. Colors and times of day in it are used."),
        "width": _field("Width", "integer", 1, "Width in pixels.", **edge),
        "height": _field("Height", "integer", 2, "Height in pixels.", **edge),
        "num_outputs": _field("Num Outputs", "integer", 3, "How many.", default=1, minimum=1, maximum=4),
        "seed": _field("Seed", "integer", 4, SEED),
        "output_format": _field(
            "Output Format", "string", 5, "Accepted; the emulator makes PNG.", enum=[*familiar.FORMATS], default="png"
        ),
        "aspect_ratio": _field(
            "Aspect Ratio", "string", 6, "Shape, other than square.", enum=[*familiar.RATIOS], default="1:1"
        ),
    }


PAINTER_SCHEMA = describe(familiar.after(_painter_fields(256), familiar.FLUX), ("prompt",), PICTURES)

TRAINING_INPUT: Schema = {
    "type": "object",
    "title": "TrainingInput",
    "properties": {
        "input_images": _field("Input Images", "string", 0, "URL of a zip of pictures.", format="uri"),
        "token_string": _field("Token String", "string", 1, "Word for what the pictures show.", default="TOK"),
        "max_train_steps": _field(
            "Max Train Steps", "integer", 2, "Steps to train.", default=1000, minimum=1, maximum=6000
        ),
        "seed": _field("Seed", "integer", 3, SEED),
    },
    "required": ["input_images"],
}
TRAINABLE_SCHEMA = describe(
    familiar.after(_painter_fields(256), familiar.SDXL), ("prompt",), PICTURES, TrainingInput=TRAINING_INPUT
)


def _weigh(work: Work) -> Outcome:
    weights = repr(sorted(work.input.items())).encode()
    content = Content(lambda: weights)
    return Outcome({"weights": FileRef("trained_model.tar")}, {"trained_model.tar": ("application/x-tar", content)})


TRAINER = Behaviour(_weigh, starts=0.5, runs=lambda _: 2.0, steps=5)
MOST_PIXELS_OUT = 4_000_000


def _upscale(work: Work) -> Outcome:
    source, scale = work.sources["image"], int(work.input["scale"])
    if isinstance(source, str):
        raise ModelError(source)
    try:
        picture = read_png(source.read(), most_pixels=MOST_PIXELS_OUT // scale**2)
    except PictureError as error:
        raise ModelError(f"cannot read the image: {error}") from error
    size = picture.width * scale, picture.height * scale
    content = Content(lambda: write_rows(enlarged(picture, scale), *size, picture.channels))
    return Outcome(FileRef("out.png"), {"out.png": ("image/png", content)})


UPSCALER = Behaviour(_upscale, runs=lambda _: 0.8, steps=4, reads=("image",))
UPSCALER_SCHEMA = describe(
    familiar.after(
        {
            "image": _field(
                "Image", "string", 0, "PNG to enlarge: an output or file of this emulator, or a data URL.", format="uri"
            ),
            "scale": _field("Scale", "integer", 1, "How many times larger.", default=4, minimum=2, maximum=4),
        },
        familiar.ESRGAN,
    ),
    ("image",),
    URI,
)
_FRAMES, _FRAME_MILLISECONDS = 16, 80


def _film(work: Work) -> Outcome:
    def film() -> bytes:
        scene = compose(work.input["prompt"], work.seed)
        frames = [paint(scene, 192, 108, index / _FRAMES) for index in range(_FRAMES)]
        return write_animation(frames, _FRAME_MILLISECONDS)

    return Outcome(FileRef("out.png"), {"out.png": ("image/png", Content(film))})


FILMER = Behaviour(_film, starts=8.0, runs=lambda _: 70.0, steps=20, seconds=_FRAMES * _FRAME_MILLISECONDS / 1000)
FILMER_SCHEMA = describe(
    familiar.after(
        {
            "prompt": _field("Prompt", "string", 0, "What to film."),
            "seed": _field("Seed", "integer", 1, SEED),
        },
        familiar.VIDEO,
    ),
    ("prompt",),
    URI,
)


def _fail(work: Work) -> Outcome:
    raise ModelError(work.input["message"])


FAILER = Behaviour(_fail, runs=lambda _: 0.4, steps=2)
FAILER_SCHEMA = describe(
    {"message": _field("Message", "string", 0, "Message of the error.", default="this model always fails")}, (), STRING
)


def run(behaviour: Behaviour, work: Work) -> Outcome:
    """Run the model. If the model fails, the outcome has the error."""
    try:
        return behaviour.compute(work)
    except ModelError as error:
        return Outcome(None, error=str(error))


def seed_of(given: Mapping[str, Any], job_id: str) -> int:
    chosen = given.get("seed")
    return int(chosen) if isinstance(chosen, int | float) else number(job_id)


def log_lines(behaviour: Behaviour, seed: int) -> list[str]:
    """All log lines of a run: the seed, then a progress bar."""
    steps = behaviour.steps
    bars = [f"{100 * step // steps}%|{_bar(step, steps)}| {step}/{steps}\n" for step in range(1, steps + 1)]
    return [f"Using seed: {seed}\n", *bars]


def _bar(step: int, steps: int) -> str:
    done = 10 * step // steps
    return "#" * done + " " * (10 - done)
