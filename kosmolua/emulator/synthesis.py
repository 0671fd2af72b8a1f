"""Outputs made from a model's output schema: text, numbers, objects and files of the kind that the model makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

from kosmolua.emulator import media, text
from kosmolua.emulator.identifiers import number
from kosmolua.emulator.models import Content, FileRef
from kosmolua.emulator.schema import plain

_DEEP = 12  # the most levels of a value, since a schema may be recursive
_MOST_ITEMS, _MOST_FILES = 8, 16
_EDGES = (16, 4096)
_COUNTS = ("num_outputs", "num_images", "number_of_images", "max_images", "batch_size", "n")
_FORMATS = ("output_format", "format", "file_format", "audio_format")
_SUBJECTS = ("prompt", "text", "caption", "question", "message", "input")
_HOSTS = re.compile(r"(?:[\w.-]+\.)?replicate\.delivery|storage\.googleapis\.com|data")
_MEGAPIXEL = 1_048_576
_LEVELS = {"480p": 480, "540p": 540, "720p": 720, "1080p": 1080}
_FORTY_TOKENS = 40


def is_link(value: object) -> bool:
    """Whether a value in a recorded output is the URL of an output file."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://", "data:")) or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme == "data" or bool(_HOSTS.fullmatch(parts.netloc.partition(":")[0]))


class Synthesis:
    """One output, and its files by name.

    ``example`` is the output of the model's example: it shows what the schema does not, such as a file's type.
    """

    def __init__(self, schema: Mapping[str, Any], given: Mapping[str, Any], seed: int) -> None:
        self.files: dict[str, tuple[str, Content]] = {}
        self._schema, self._given, self._seed = schema, given, seed
        self._chance = Random(number("output", seed))  # noqa: S311 - not a secret
        self.seconds = _bounded(_number(given, ("duration", "seconds", "audio_duration")) or 1.0, 0.2, 10.0)

    def repeat(self, example: Any) -> Any:
        """The output of the example, with new files of the same kinds."""
        if isinstance(example, list):
            return [self.repeat(item) for item in example]
        if isinstance(example, dict):
            return {name: self.repeat(item) for name, item in example.items()}
        return self._file(example, chosen="") if is_link(example) else example

    def make(self, shape: Mapping[str, Any], example: Any = None, depth: int = 0) -> Any:
        """A value that fits the schema."""
        shape = plain(shape, self._schema)
        kind = shape.get("type") or ("object" if shape.get("properties") else None)
        if depth > _DEEP or kind is None or (kind in {"object", "array"} and _open(shape)):
            return self._loose(shape, kind, example)
        if kind == "array":
            return self._list(shape["items"], example, depth)
        if kind == "object":
            return self._object(shape, example, depth)
        return self._scalar(shape, kind, example)

    def words(self, most: int = _FORTY_TOKENS) -> list[str]:
        """Text about the input, as tokens."""
        return list(text.write(self._subject(), "", self._seed, 0.7, 0, most))

    def _loose(self, shape: Mapping[str, Any], kind: str | None, example: Any) -> Any:
        if example is not None:
            return self.repeat(example)
        if "default" in shape:
            return shape["default"]
        return {"object": {}, "array": []}.get(kind or "", "".join(self.words()))

    def _list(self, items: Mapping[str, Any], example: Any, depth: int) -> list[Any]:
        likes = example if isinstance(example, list) and example else [None]
        asked = _number(self._given, _COUNTS)
        files = plain(items, self._schema).get("format") == "uri"
        count = int(_bounded(asked, 1, _MOST_FILES)) if files and asked else min(len(likes), _MOST_ITEMS)
        return [self.make(items, likes[at % len(likes)], depth + 1) for at in range(count)]

    def _object(self, shape: Mapping[str, Any], example: Any, depth: int) -> dict[str, Any]:
        like = example if isinstance(example, Mapping) else {}
        required = shape.get("required", ())
        properties: Mapping[str, Any] = shape.get("properties", {})
        made = {
            name: self.make(one, like.get(name), depth + 1)
            for name, one in properties.items()
            if depth < _DEEP - 1 or name in required
        }
        if not properties and isinstance(shape.get("additionalProperties"), Mapping):
            rest = shape["additionalProperties"]
            made = {name: self.make(rest, one, depth + 1) for name, one in [*like.items()][:_MOST_ITEMS]}
        return made

    def _scalar(self, shape: Mapping[str, Any], kind: str, example: Any) -> Any:
        if shape.get("enum"):
            return example if example in shape["enum"] else self._chance.choice(shape["enum"])
        if kind == "boolean":
            return self._chance.random() < 0.5  # noqa: PLR2004 - one half
        if kind in {"integer", "number"}:
            low = shape.get("minimum", 0)
            high = shape.get("maximum", max(low, 1) * (100 if kind == "integer" else 1))
            return self._chance.randint(int(low), int(high)) if kind == "integer" else self._chance.uniform(low, high)
        if kind == "null":
            return None
        if shape.get("format") == "uri" and (example is None or is_link(example)):
            return self._file(example)
        return self._file(example) if is_link(example) else "".join(self.words())

    def _file(self, example: Any, chosen: str | None = None) -> FileRef:
        stem, extension = named(example) if isinstance(example, str) else ("out", self._extension())
        if chosen is None:
            chosen = next(
                (self._given[name] for name in _FORMATS if isinstance(self._given.get(name), str)), ""
            ).lower()
        if chosen in media.MAKERS and _family(chosen) == _family(extension):
            extension = chosen
        name = f"{stem}.{extension}" if extension else stem
        if name in self.files:
            name = f"{len(self.files)}-{name}"
        content_type, make = media.maker(extension)
        width, height = size(self._given)
        order = media.Order(self._subject(), self._seed + len(self.files), width, height, self.seconds)
        self.files[name] = (content_type, Content(partial(make, order)))
        return FileRef(name)

    def _extension(self) -> str:
        asked = next((self._given[name] for name in _FORMATS if self._given.get(name) in media.MAKERS), None)
        return str(asked) if asked else "png"

    def _subject(self) -> str:
        texts = [self._given[name] for name in _SUBJECTS if isinstance(self._given.get(name), str)]
        return texts[0] if texts else ""


def _open(shape: Mapping[str, Any]) -> bool:
    """Whether the schema does not describe what is inside an object or a list."""
    if shape.get("type") == "array":
        return not shape.get("items")
    return not shape.get("properties") and not isinstance(shape.get("additionalProperties"), Mapping)


def _family(extension: str) -> str:
    families = {"image": media.IMAGES, "sound": media.SOUNDS, "film": media.FILMS | {"gif"}}
    return next((name for name, members in families.items() if extension in members), "")


def named(url: str) -> tuple[str, str]:
    """The stem and extension of a URL's file, in characters that are valid in a URL."""
    if url.startswith("data:"):
        kind = url[len("data:") :].partition(";")[0]
        return "out", next((name for name, (content, _) in media.MAKERS.items() if content == kind), "bin")
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    stem, dot, extension = last.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,12}", extension):
        stem, extension = last, ""
    return re.sub(r"[^\w.-]+", "-", stem, flags=re.ASCII).strip(".-")[-80:] or "out", extension


def _number(given: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    found = (given[name] for name in names if isinstance(given.get(name), int | float) and given[name] is not True)
    return next((float(value) for value in found if value > 0), None)


def _bounded(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))


def size(given: Mapping[str, Any]) -> tuple[int, int]:
    """The size of a picture in pixels, from the inputs that models usually have for it."""
    width, height = _number(given, ("width", "image_width")), _number(given, ("height", "image_height"))
    ratio = _pair(given.get("aspect_ratio"), ":")
    if ratio and (given.get("aspect_ratio") != "custom") and not (width and height and "megapixels" not in given):
        width, height = _of_ratio(ratio, given)
    pair = _pair(given.get("size"), "x") or _pair(given.get("resolution"), "x") or (512.0, 512.0)
    low, high = _EDGES
    return int(_bounded(width or pair[0], low, high)), int(_bounded(height or pair[1], low, high))


def _of_ratio(ratio: tuple[float, float], given: Mapping[str, Any]) -> tuple[float, float]:
    if (edge := _LEVELS.get(str(given.get("resolution")))) is not None:
        short = min(ratio)
        return round(edge * ratio[0] / short), round(edge * ratio[1] / short)
    amount = str(given.get("megapixels", "1")).partition(" ")[0]
    pixels = _MEGAPIXEL * (float(amount) if re.fullmatch(r"\d{1,2}(\.\d+)?|\.\d+", amount) else 1.0)
    edge = (pixels / (ratio[0] * ratio[1])) ** 0.5
    return 16 * round(edge * ratio[0] / 16), 16 * round(edge * ratio[1] / 16)


def _pair(value: object, mark: str) -> tuple[float, float] | None:
    found = re.match(rf"(\d{{1,5}})\s*{mark}\s*(\d{{1,5}})(?!\d)", value) if isinstance(value, str) else None
    pair = (float(found[1]), float(found[2])) if found else None
    return pair if pair and min(pair) > 0 else None
