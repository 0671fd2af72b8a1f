"""A function's arguments as a msgspec Struct, derived from its catalogue entry, and errors for invalid arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from kosmolua.errors import ArgumentError
from kosmolua.replicate.catalogue import Operation, Parameter

_MAX_SHOWN = 60
_NO_SEGMENT = frozenset({"", ".", ".."})
_MAX_DEPTH = 200
_MAX_NAMES = 20
_NEAR = 0.5  # minimum similarity of a suggested name, up to 1
_CARRIED = frozenset({str, int, float, bool, type(None), dict, list})
_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "a list",
    bytes: "bytes that are not UTF-8",
    type(None): "null",
}


class LocalFile(Struct, frozen=True):
    """A local file in place of a URL, inside an object. The file is replaced before the arguments are sent."""

    path: str


class FileContent(LocalFile, frozen=True):
    """A file whose content is read while it is sent, as a `kosmolua.replicate.wire.Upload`. ``size`` is in bytes."""

    size: int

    def pieces(self) -> Iterator[bytes]:
        """The content. Raises a `KosmoError` if it cannot be read, or if its size has changed."""
        raise NotImplementedError

    def digest(self) -> str:
        """The SHA-256 of the content, in hexadecimal."""
        import hashlib  # loads OpenSSL: 3 ms

        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return found.hexdigest()


LOCAL_FILE, DIGITS = 1, 2
"""MessagePack extension types: a local file by its path, and an integer by its decimal digits."""
_WHOLE = re.compile(rb"-?[0-9]{1,400}")


def extension(code: int, data: memoryview) -> Any:
    """Decode a MessagePack extension: the hook of a decoder."""
    if code == LOCAL_FILE:
        return LocalFile(bytes(data).decode())
    if code == DIGITS and _WHOLE.fullmatch(text := bytes(data)):
        return int(text)
    return msgspec.msgpack.Ext(code, bytes(data))


@cache
def arguments_type(operation: Operation) -> type[Struct]:
    """The Struct of an operation's arguments. Optional arguments that are not given are UNSET."""
    required = [(p.name, _type(p)) for p in operation.parameters if p.required]
    optional = [(p.name, _type(p) | UnsetType, UNSET) for p in operation.parameters if not p.required]
    name = "".join(part.title() for part in operation.name.split("_")) + "Arguments"
    return msgspec.defstruct(
        name, [*required, *optional], kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True
    )


def _type(parameter: Parameter) -> Any:
    word: Any = Literal[parameter.enum] if parameter.enum else str
    match parameter.kind:
        case "string" if parameter.pattern:
            return Annotated[str, Meta(pattern=parameter.pattern)]
        case "string":
            return word
        case "integer":
            return Annotated[int, Meta(ge=parameter.minimum, le=parameter.maximum)]
        case "boolean":
            return bool
        case "object":
            return dict[str, Any]
        case "array":
            return list[word]
    return Any  # bytes: text is accepted as UTF-8, which no msgspec type expresses


@cache
def _decoder(operation: Operation) -> Callable[[bytes], Struct]:
    return msgspec.msgpack.Decoder(arguments_type(operation), ext_hook=extension).decode


def decode_arguments(operation: Operation, data: Mapping[str, Any] | bytes) -> Struct:
    """Check arguments, given as a mapping or as MessagePack of one. Raises an `ArgumentError` that names the place.

    A parameter that is null counts as not given, and an empty object for a list as an empty list.
    """
    if isinstance(data, bytes):
        try:
            arguments = _decoder(operation)(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            arguments = _carefully(operation, _unpacked(operation, data))
        else:
            _check_objects(operation, arguments)
    else:
        arguments = _carefully(operation, data)
    _check_places(operation, arguments)
    return arguments


def _unpacked(operation: Operation, data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data, ext_hook=extension)
    except RecursionError:
        raise _error(operation, f"more than {_MAX_DEPTH} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _error(operation, "the arguments hold text that is not UTF-8, or are cut short") from None


def _carefully(operation: Operation, data: Any) -> Struct:
    """The slow path, which finds and reports the first error."""
    if not isinstance(data, Mapping):
        raise _error(operation, f"expected named arguments, got {_found(data)}")
    given = {
        name: _as_list(operation, name, value)
        for name, value in _unaliased(operation, data).items()
        if value is not None
    }
    _check_names(operation, given)
    _check_values(operation, given)
    try:
        return msgspec.convert(given, arguments_type(operation))
    except msgspec.ValidationError as error:
        raise _unfit(operation, given, str(error)) from None


def _unaliased(operation: Operation, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments by the names of their parameters. Raises an `ArgumentError` for an argument that is given by both
    names.
    """
    renamed = {
        each.alias: each.name for each in operation.parameters if each.alias and data.get(each.alias) is not None
    }
    for alias, name in renamed.items():
        if data.get(name) is not None:
            raise _error(operation, f"`{alias}` is another name of `{name}`; give only one of them")
    if not renamed:
        return data
    return {renamed.get(name, name): value for name, value in data.items() if value is not None}


def _as_list(operation: Operation, name: str, value: Any) -> Any:
    parameter = operation.parameter(name)
    return [] if value == {} and parameter and parameter.kind == "array" else value


def _check_names(operation: Operation, given: Mapping[str, Any]) -> None:
    names = [parameter.name for parameter in operation.parameters]
    for name in given:
        if name not in names:
            raise _error(operation, f"unknown parameter `{short(str(name))}`{suggestion(str(name), names)}")
    missing = [f"`{p.name}`" for p in operation.parameters if p.required and p.name not in given]
    if missing:
        raise _error(operation, f"missing {', '.join(missing)}")


def suggestion(name: str, names: list[str]) -> str:
    """The suggestion after an unknown name: the nearest known name, or else all names."""
    from kosmolua.replicate.nearest import nearest

    near = nearest(name, names, least=_NEAR)
    if near:
        return f"; did you mean `{near[0]}`?"
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"; it takes {', '.join(names[:_MAX_NAMES])}{more}" if names else "; it takes none"


@cache
def _objects(operation: Operation) -> tuple[str, ...]:
    return tuple(parameter.name for parameter in operation.parameters if parameter.kind == "object")


def _check_objects(operation: Operation, arguments: Struct) -> None:
    for name in _objects(operation):
        value = getattr(arguments, name)
        if value is not UNSET and not _plain(value):
            _check_value(operation, value, name)


def _plain(value: dict[str, Any]) -> bool:
    """Whether JSON can represent the value exactly. Goes level by level: a tenth of the cost of checking paths."""
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        names = chain.from_iterable(item for item in level if type(item) is dict)
        values = [inner for item in level for inner in (item.values() if type(item) is dict else item)]
        kinds = set(map(type, values))
        if not kinds <= _CARRIED or not set(map(type, names)) <= {str}:
            return False
        if float in kinds and not all(math.isfinite(item) for item in values if type(item) is float):
            return False
        if kinds.isdisjoint((dict, list)):
            return True
        level = [item for item in values if type(item) in {dict, list}]
    return False


def _check_values(operation: Operation, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        parameter = operation.parameter(name)
        if not (isinstance(value, bytes | FileContent) and parameter and parameter.kind == "bytes"):
            _check_value(operation, value, name)


def _check_value(operation: Operation, value: Any, path: str, depth: int = 0) -> None:
    """Refuse values at any depth that JSON would change or cannot represent."""
    if depth > _MAX_DEPTH:
        raise _error(operation, f"more than {_MAX_DEPTH} levels - at `{short(path)}`")
    match value:
        case dict():
            for name, item in value.items():
                _check_name(operation, name, path)
                _check_value(operation, item, f"{path}.{short(name)}", depth + 1)
        case list() | tuple():
            for index, item in enumerate(value):
                _check_value(operation, item, f"{path}[{index}]", depth + 1)
        case _:
            refusal = _refusal(value)
            if refusal:
                raise _error(operation, f"{refusal} - at `{path}`")


def _refusal(value: Any) -> str | None:
    match value:
        case bytes() | bytearray() | memoryview():
            return "string is not UTF-8"
        case str() if not value.isascii() and _broken(value):
            return "string is not UTF-8"
        case float() if not math.isfinite(value):
            return f"number is {value}"
        case int() if not -(2**63) <= value < 2**64:
            return "integer needs more than 64 bits (give it as a string)"
        case None | str() | int() | float() | LocalFile():
            return None
    return f"expected plain data, got `{type(value).__name__}`"


def _check_name(operation: Operation, name: Any, path: str) -> None:
    if not isinstance(name, str):
        raise _error(operation, f"expected a string as a name, got {_found(name)} - at `{path}`")
    if not name.isascii() and _broken(name):
        raise _error(operation, f"a name is not UTF-8 - at `{path}`")


def _broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_places(operation: Operation, arguments: Struct) -> None:
    """Checks beyond types: empty or dot path segments would change the path; content must be bytes or text."""
    paths, contents = _places(operation)
    for name in paths:
        value = getattr(arguments, name)
        if value in _NO_SEGMENT:
            raise _error(operation, f"expected a name or an id, got {value!r} - at `{name}`")
    for name in contents:
        value = getattr(arguments, name)
        if not isinstance(value, bytes | str | FileContent):
            raise _error(operation, f"expected bytes or text, got {_found(value)} - at `{name}`")


@cache
def _places(operation: Operation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parameters in the path, and those that hold content."""
    parameters = operation.parameters
    return tuple(p.name for p in parameters if p.place == "path"), tuple(
        p.name for p in parameters if p.kind == "bytes"
    )


def _unfit(operation: Operation, given: Mapping[str, Any], message: str) -> ArgumentError:
    """The error for an invalid value; msgspec's message has its path."""
    path = message.rpartition("`$")[2].removesuffix("`").removeprefix(".")
    name = path.partition("[")[0].partition(".")[0]
    parameter = operation.parameter(name)
    if parameter is None:
        return _error(operation, message.partition(" - at ")[0])
    return _error(operation, f"expected {expected(parameter)}, got {_found(given.get(name))} - at `{path}`")


def expected(parameter: Parameter) -> str:
    """The accepted values of a parameter, in words."""
    words = ", ".join(f'"{word}"' for word in parameter.enum)
    match parameter.kind:
        case "string" if parameter.enum:
            return f"one of {words}"
        case "string":
            return parameter.expected or "a string"
        case "integer" if parameter.maximum is not None:
            return f"an integer from {parameter.minimum} to {parameter.maximum}"
        case "integer" if parameter.minimum is not None:
            return f"an integer of at least {parameter.minimum}"
        case "array":
            return f"a list of {words}"
        case "object":
            return "an object"
    return f"a{'n' if parameter.kind == 'integer' else ''} {parameter.kind}"


def _found(value: Any) -> str:
    kind = _NAMES.get(type(value), type(value).__name__)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        shown = f'"{short(value)}"' if isinstance(value, str) else str(value)
        return f"{kind.partition(' ')[2]} {shown}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return short(msgspec.json.encode(value, enc_hook=repr).decode())
    return kind


def short(text: str) -> str:
    """The start of the text, on one line, without control characters."""
    text = "".join(c if c.isprintable() else "?" for c in text[: _MAX_SHOWN + 1])
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _error(operation: Operation, message: str, hint: str | None = None) -> ArgumentError:
    return ArgumentError(
        f"{operation.name}: {message}",
        function=operation.name,
        hint=hint or f"see its parameters: kosmo integrations:replicate {operation.name} --help",
    )
