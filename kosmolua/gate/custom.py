"""The host's own functions: Python functions that scripts call through the gate, like the functions of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kosmolua.errors import ArgumentError, FunctionError, KosmoError, OptionError, UsageError, words_of
from kosmolua.gate import nesting
from kosmolua.replicate import structs
from kosmolua.replicate.answers import Answer
from kosmolua.replicate.catalogue import CUSTOM, Access, Kind, Operation, Parameter, Proof

if TYPE_CHECKING:
    from kosmolua.manual.custom_stubs import Declared

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KINDS: dict[str, Kind] = {"string": "string", "integer": "integer", "boolean": "boolean", "array": "array"}
_REPEATABLE, _UNKNOWN = Proof("repeat"), Proof("unknown")


class Function(Struct, frozen=True, kw_only=True):
    """A function that scripts may call as `custom.NAME{...}`.

    ``access`` is "read" or "write": the policy decides by it. ``arguments`` is the Struct type that the function
    accepts; without one, the function's signature defines the arguments. ``summary`` defaults to the first line of the
    function's docstring. Calling an ``idempotent`` function twice has the same effect as calling it once; a resumed run
    repeats such a call if it was interrupted.
    """

    call: Callable[..., Any]
    access: Access = "write"
    arguments: type[Struct] | None = None
    summary: str | None = None
    idempotent: bool = False


class Custom:
    """One function with its name. ``operation`` describes it to the gate, the journal and the documentation."""

    def __init__(self, name: str, function: Function) -> None:
        self._function = function
        self._type = function.arguments or _type_of(name, function.call)
        self.schema = _schema(self._type)
        self.operation = _operation(name, function, self.schema)
        self.client = CustomClient(self)
        self._lists = [name for name, part in self.schema["properties"].items() if part.get("type") == "array"]

    def declared(self) -> Declared:
        """The declaration that editors and the documentation show."""
        from kosmolua.manual.custom_stubs import Declared
        from kosmolua.replicate.shape import Shape, shape_of

        kinds = [self._type, _returned(self._function.call)]
        schemas, parts = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
        document = {"components": {"schemas": {**parts, "(arguments)": schemas[0], "(result)": schemas[1]}}}
        arguments = shape_of(document, "(arguments)") or Shape()
        result = None if schemas[1] == {"type": "null"} else shape_of(document, "(result)") or Shape()
        return Declared(self.operation.name, self.operation.summary, arguments, result)

    def decoded(self, arguments: Mapping[str, Any] | bytes) -> Struct:
        """The checked arguments. Raises an `ArgumentError`."""
        given = self._given(arguments)
        for name in given:
            if name not in self.schema["properties"]:
                raise self._wrong(f"unknown parameter `{structs.short(name)}`", names=[*self.schema["properties"]])
        for name in self._lists:
            if given.get(name) == {}:
                given[name] = []
        try:
            return msgspec.convert(given, self._type)
        except msgspec.ValidationError as error:
            raise self._wrong(str(error).replace("`$.", "`")) from None

    def _given(self, arguments: Mapping[str, Any] | bytes) -> dict[str, Any]:
        try:
            found: Any = arguments
            if isinstance(arguments, bytes):
                found = msgspec.msgpack.decode(arguments, ext_hook=self._extension)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._wrong(str(error)) from None
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise self._wrong("expected named arguments")
        return {name: value for name, value in found.items() if value is not None}

    def _extension(self, code: int, data: memoryview) -> Any:
        """Decode a MessagePack extension. Files are refused: the function might open a file that the script may not
        read.
        """
        found = structs.extension(code, data)
        if not isinstance(found, int):
            name = self.operation.name
            raise ArgumentError(
                f"{name}: expected plain data, got a file",
                function=name,
                hint="pass the text of the file: file(path):read()",
            )
        return found

    def _wrong(self, message: str, names: list[str] | None = None) -> ArgumentError:
        name = self.operation.name
        suggestion = "" if names is None else structs.suggestion(message.split("`")[1], names)
        return ArgumentError(
            f"{name}: {message}{suggestion}", function=name, hint=f'see its parameters: docs.read("{name}")'
        )

    def carry_out(self, arguments: Struct) -> Any:
        """Call the function and return its result as plain data. Raises a `FunctionError`, or the `KosmoError` that the
        function raised.
        """
        depth = nesting.DEPTH.get()
        if depth >= nesting.MOST:
            raise FunctionError(
                f"{self.operation.name}: the host's own functions call each other more than {depth} levels deep",
                function=self.operation.name,
                hint="end the recursion: let the function return without calling the host",
            )
        token = nesting.DEPTH.set(depth + 1)
        try:
            found = self._function.call(*self._positional(arguments), **self._named(arguments))
        except KosmoError:
            raise
        except Exception as error:
            raise FunctionError(f"{self.operation.name}: {words_of(error)}", function=self.operation.name) from error
        finally:
            nesting.DEPTH.reset(token)
        try:
            return msgspec.to_builtins(found, builtin_types=(bytes,), str_keys=True)
        except (TypeError, RecursionError) as error:
            raise FunctionError(
                f"{self.operation.name}: the function returned a value that is not plain data: {error}",
                function=self.operation.name,
                hint="return text, numbers, booleans, None, lists, or dictionaries of them",
            ) from None

    def _positional(self, arguments: Struct) -> tuple[Struct, ...]:
        return (arguments,) if self._function.arguments else ()

    def _named(self, arguments: Struct) -> dict[str, Any]:
        return {} if self._function.arguments else given_of(arguments)


def given_of(arguments: Struct) -> dict[str, Any]:
    """The arguments that are set."""
    found = ((name, getattr(arguments, name)) for name in arguments.__struct_fields__)
    return {name: value for name, value in found if value is not UNSET}


class CustomClient:
    """Used instead of the API's client: `send` calls the function."""

    base_url = ""

    def __init__(self, custom: Custom) -> None:
        self._custom = custom

    def send(self, _operation: Operation, arguments: Struct) -> Answer:
        return Answer(200, self._custom.carry_out(arguments), "", None)

    def describe(self, operation: Operation, arguments: Struct) -> dict[str, Any]:
        """The call that a dry run shows."""
        return {
            "function": operation.name,
            "arguments": msgspec.to_builtins(given_of(arguments), builtin_types=(bytes,)),
        }


def entries(customs: Mapping[str, Custom], query: str | None = None) -> list[dict[str, str]]:
    """The functions as entries of the documentation: all, or those that match a query."""
    words = None if query is None else query.lower().split()
    found = ((name, custom.operation) for name, custom in customs.items())
    return [
        {"name": name, "kind": operation.access, "summary": operation.summary}
        for name, operation in found
        if words is None or any(word in f"{name} {operation.summary}".lower() for word in words)
    ]


def texts(customs: Mapping[str, Custom]) -> dict[str, str]:
    """The pages of all functions by name."""
    return {name: page(custom) for name, custom in customs.items()}


def page(custom: Custom) -> str:
    """The documentation of a function, as Markdown."""
    from kosmolua.manual.custom_stubs import called, typed

    operation, declared = custom.operation, custom.declared()
    shapes = declared.arguments.members
    rows = [
        f"- {each.name} ({typed(shapes[each.name])}{', required' if each.required else ''})"
        f"{': ' if each.help else ''}{each.help}"
        for each in operation.parameters
    ]
    returns = f"`{typed(declared.result)}`" if declared.result else "Nothing."
    example = ", ".join(f"{each.name} = ..." for each in operation.parameters if each.required)
    parts = [
        f"# {operation.name} ({operation.access})",
        operation.summary,
        "## Parameters",
        "\n".join(rows) or "None: call it with {}.",
        "## Returns",
        returns,
        "## Example",
        f"```lua\nreturn {called(operation.name)}{{{f' {example} ' if example else ''}}}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def customs_of(functions: Mapping[str, Any]) -> dict[str, Custom]:
    """The host's functions by full name. Raises an `OptionError` for an invalid function."""
    found = {}
    for name, given in functions.items():
        function = given if isinstance(given, Function) else Function(call=given)
        _check(name, function)
        custom = Custom(name, function)
        found[custom.operation.name] = custom
    return found


def unknown(function: str, customs: Mapping[str, Custom]) -> UsageError:
    """The error for a name that is not one of the host's functions."""
    from kosmolua.replicate.nearest import nearest

    near = nearest(function, [*customs], most=3)
    known = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(customs) or 'none'}"
    return UsageError(
        f"unknown function {function[:100]!r}{known}",
        code="unknown_function",
        hint="define this function in the host: Host(functions={...})",
    )


def _check(name: object, function: Function) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise OptionError(
            f"functions: expected names such as send_mail, got {name!r}"[:200],
            hint="use lower-case letters, digits and underscores; at most 40 characters",
        )
    if not callable(function.call) or isinstance(function.call, type):
        raise OptionError.of(f"functions[{name!r}]", "a function, or kosmolua.Function(call=…)", function.call)
    if is_deferred(function.call):
        raise OptionError(
            f"functions[{name!r}] is async or a generator, which Host does not support",
            hint="use kosmolua.AsyncHost, or write a plain function",
        )
    if function.access not in {"read", "write"}:
        raise OptionError.of(f"functions[{name!r}].access", "read or write", function.access)


def is_deferred(call: Callable[..., Any]) -> bool:
    import inspect

    return any(is_kind(call) for is_kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction))


def _type_of(name: str, call: Callable[..., Any]) -> type[Struct]:
    """A Struct type whose fields are the parameters of a function."""
    import inspect
    from typing import get_type_hints

    try:
        parameters = inspect.signature(call).parameters.values()
        hints = get_type_hints(call, include_extras=True) if hasattr(call, "__annotations__") else {}
    except (TypeError, ValueError, NameError) as error:
        raise OptionError(
            f"functions[{name!r}]: cannot read its signature: {error}",
            hint="declare the parameters in a msgspec Struct: kosmolua.Function(call=f, arguments=MyArguments)",
        ) from None
    for each in parameters:
        if each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}:
            raise OptionError(
                f"functions[{name!r}]: parameter {each.name} cannot be passed by name",
                hint="use named parameters only: no *args, no **kwargs and no /",
            )
    fields: list[Any] = [
        (each.name, hints.get(each.name, Any))
        if each.default is each.empty
        else (each.name, hints.get(each.name, Any) | UnsetType, UNSET)  # the function applies its default
        for each in parameters
    ]
    try:
        return msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, frozen=True)
    except TypeError as error:
        raise OptionError(
            f"functions[{name!r}]: {error}", hint="annotate the parameters with plain data types"
        ) from None


def _returned(call: Callable[..., Any]) -> Any:
    """The annotated type of the result; Any if the annotation is missing or cannot be described."""
    from typing import get_type_hints

    try:
        found = get_type_hints(call, include_extras=True).get("return", Any)
        msgspec.json.schema_components([found])
    except Exception:  # noqa: BLE001 - annotations are the user's; the function works without them
        return Any
    return found


def _schema(kind: type[Struct]) -> dict[str, Any]:
    """JSON Schema of the arguments, as one object."""
    try:
        (found,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except (TypeError, NameError) as error:
        raise OptionError(f"functions: {error}", hint="use plain data types for the arguments") from None
    name = found["$ref"].rpartition("/")[2]
    schema: dict[str, Any] = {"properties": {}, "required": [], **parts.pop(name)}
    return {**schema, "additionalProperties": False, **({"$defs": parts} if parts else {})}


def _operation(name: str, function: Function, schema: Mapping[str, Any]) -> Operation:
    summary = function.summary or (function.call.__doc__ or "").strip().partition("\n")[0]
    parameters = (
        Parameter(
            name=each,
            place="body",
            kind=_KINDS.get(str(part.get("type")), "object"),
            required=each in schema["required"],
            help=str(part.get("description", "")),
        )
        for each, part in schema["properties"].items()
    )
    return Operation(
        name=f"{CUSTOM}{name}",
        operation_id=f"{CUSTOM}{name}",
        access=function.access,
        method="CALL",
        path="",
        summary=summary or f"The host's function {name}.",
        returns=None,
        parameters=tuple(parameters),
        idempotent=function.idempotent,
        proof=None if function.access == "read" else _REPEATABLE if function.idempotent else _UNKNOWN,
    )
