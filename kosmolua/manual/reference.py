"""Documentation of functions as data, derived from the catalogue: schemas, pages and examples. Pure functions.

The search is in `kosmolua.manual.search`; the types of answers are in `kosmolua.replicate.results`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET

from kosmolua.errors import CODES
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, SERVER, Operation, Parameter

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Replicate"
SUMMARY = "Runs machine-learning models: predictions, trainings, deployments, models and files."
FIELDS: tuple[dict[str, Any], ...] = (
    {"key": "api_key", "type": "secret", "required": True, "label": "API Token", "env": "REPLICATE_API_KEY",
     "description": "An API token, also read from REPLICATE_API_TOKEN; create one at https://replicate.com/account/api-tokens"},
    {"key": "url", "type": "url", "required": False, "label": "API Base URL", "env": "REPLICATE_URL",
     "default": SERVER, "description": "The base URL of the API, without a trailing slash"},
)  # fmt: skip


# Schemas ----------------------------------------------------------------------------------------------------------


def schema(operation: Operation) -> dict[str, Any]:
    """JSON Schema 2020-12 of an operation's arguments. A call also accepts null for a missing argument."""
    required = [parameter.name for parameter in operation.parameters if parameter.required]
    return {
        "$schema": DIALECT,
        "title": operation.full_name,
        "description": _description(operation),
        "type": "object",
        "properties": {parameter.name: _property(parameter) for parameter in operation.parameters},
        **({"required": required} if required else {}),
        "additionalProperties": False,
        "examples": [operation.example],
    }


def _description(operation: Operation) -> str:
    return f"{operation.summary} {operation.note}".strip()


def _property(parameter: Parameter) -> dict[str, Any]:
    facts = {
        "description": parameter.help,
        **_type(parameter),
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "pattern": parameter.pattern,
        "format": parameter.format,
        "default": None if parameter.default is UNSET else parameter.default,
        "deprecated": parameter.deprecated or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _type(parameter: Parameter) -> dict[str, Any]:
    words = {"enum": list(parameter.enum)} if parameter.enum else {}
    match parameter.kind:
        case "bytes":
            return {"type": "string", "contentMediaType": "application/octet-stream"}
        case "array":
            return {"type": "array", "items": {"type": "string", **words}}
        case "string" if parameter.place == "path":
            return {"type": "string", "not": {"enum": ["", ".", ".."]}}
    return {"type": parameter.kind, **words}


# Pages ------------------------------------------------------------------------------------------------------------


def page(operation: Operation) -> dict[str, Any]:
    """The documentation of a function, as plain data with stable keys."""
    return {
        "function": f"{PROVIDER}.{operation.full_name}",
        "name": operation.name,
        "names": list(operation.names),
        "access": operation.access,
        "method": operation.method,
        "path": operation.path,
        "summary": operation.summary,
        "note": operation.note or None,
        "content_type": operation.content_type,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "returns": _returns(operation),
        "success": list(operation.success),
        "errors": errors(operation),
        "blocking": operation.blocking,
        "paged": operation.paged,
        "secret": operation.secret,
        "examples": examples(operation),
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    facts = {
        "name": parameter.name,
        "flag": f"--{parameter.name.replace('_', '-')}",
        "type": parameter.kind,
        "required": parameter.required,
        "default": None if parameter.default is UNSET else parameter.default,
        "description": parameter.help,
        "place": parameter.place,
    }
    bounds = {"minimum": parameter.minimum, "maximum": parameter.maximum, "pattern": parameter.pattern}
    more = {"enum": list(parameter.enum), **bounds, "format": parameter.format, "deprecated": parameter.deprecated}
    return facts | {name: fact for name, fact in more.items() if fact not in (None, False, [])}


def _returns(operation: Operation) -> dict[str, Any]:
    from kosmolua.manual.fields import describe, fields

    return {
        "type": operation.returns,
        "description": describe(operation),
        "fields": [msgspec.structs.asdict(field) for field in fields(operation)],
    }


def errors(operation: Operation) -> list[dict[str, Any]]:
    """The errors of a call: code, exit status of the command line, and condition."""
    return [{"code": code, "exit_status": CODES[code], "when": when} for code, when in _errors(operation)]


def _errors(operation: Operation) -> list[tuple[str, str]]:
    write = operation.access == "write"
    named = any(parameter.place == "path" or parameter.name == "version" for parameter in operation.parameters)
    checked = any(parameter.place != "path" for parameter in operation.parameters)
    rows = [
        ("invalid_arguments", "an argument is missing, unknown or invalid; nothing was sent", True),
        ("permission_denied", f"the policy denies {operation.access}s", True),
        ("approval_required", "the policy asks, but nobody could be asked", True),
        ("not_configured", "a setting is missing or invalid", True),
        ("not_authenticated", "the token is missing, or the API rejects it", True),
        ("not_found", "the object does not exist, or this account may not see it", named),
        ("invalid_input", "the API rejects an argument", checked),
        ("rate_limited", f"too many requests; at most {600 if write else 3000} a minute", True),
        ("insufficient_credit", "the account has too little credit (status 402, or 429 that says so)", write),
        ("server_error", "the API failed (status 5xx)", True),
        ("api_error", "the API returned another error", True),
        ("unreachable", "no complete answer was received; nothing was changed", True),
        ("uncertain", "no complete answer was received; the call may have taken effect", not operation.safe),
    ]
    return [(code, when) for code, when, applies in rows if applies]


# Examples ---------------------------------------------------------------------------------------------------------


def examples(operation: Operation) -> dict[str, Any]:
    """One example for each interface: the arguments, two command lines, JSON on standard input, and Lua."""
    payload = quoted(_json(operation.example))
    name = f"{PROVIDER}.{operation.full_name}"
    flags = "".join(f" {_flag(operation, *item)}" for item in operation.example.items())
    return {
        "arguments": operation.example,
        "call": f"kosmo integrations:call {name} {payload} --json",
        "shortcut": f"kosmo integrations:{PROVIDER} {operation.name}{flags} --json",
        "stdin": f"printf %s {payload} | kosmo integrations:call {name} - --json",
        "lua": lua(operation),
    }


def lua(operation: Operation) -> str:
    """A Lua chunk that calls the function with these arguments and returns its answer."""
    call = f"return integrations.{PROVIDER}.{operation.name}"
    if not operation.example:
        return f"{call}{{}}"
    rows = "".join(f"  {name} = {literal(value)},\n" for name, value in operation.example.items())
    return f"{call}{{\n{rows}}}"


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def quoted(text: str) -> str:
    """The text quoted for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _flag(operation: Operation, name: str, value: Any) -> str:
    """One argument quoted for a shell."""
    text = value if isinstance(value, str) else _json(value)
    plain = text.replace("/", "").replace("-", "").replace(".", "").replace(":", "").replace("_", "").isalnum()
    parameter = operation.parameter(name)
    flag = f"--{name.replace('_', '-')}" if parameter else f"--arg {name}"
    return f"{flag} {text if plain and text.isascii() else quoted(text)}"


def literal(value: Any) -> str:
    """Plain data as a Lua literal on one line, in printable characters."""
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{"".join(c if c.isprintable() else _escaped(c) for c in escaped)}"'
        case None:
            return "nil"
        case bool() | int() | float():
            return str(value).lower()
        case list():
            return "{ " + ", ".join(literal(item) for item in value) + " }"
    return "{ " + ", ".join(f"{key(name)} = {literal(item)}" for name, item in value.items()) + " }" if value else "{}"


def _escaped(character: str) -> str:
    """The bytes of a character as decimal escapes."""
    return "".join(f"\\{byte:03}" for byte in character.encode(errors="replace"))


def key(name: str) -> str:
    """The name of a field in a Lua table constructor."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in _WORDS else f"[{literal(name)}]"


_WORDS = frozenset(
    ("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
     "not", "or", "repeat", "return", "then", "true", "until", "while")
)  # fmt: skip


# The provider -----------------------------------------------------------------------------------------------------


def overview() -> dict[str, Any]:
    """The provider and its functions, one line each."""
    return {**provider(), "functions": [summary(operation) for operation in OPERATIONS]}


def provider() -> dict[str, Any]:
    access = [operation.access for operation in OPERATIONS]
    return {
        "provider": PROVIDER,
        "title": TITLE,
        "summary": SUMMARY,
        "server": SERVER,
        "count": {"functions": len(access), "read": access.count("read"), "write": access.count("write")},
        "credentials": [field["key"] for field in FIELDS],
    }


def summary(operation: Operation) -> dict[str, Any]:
    return {
        "function": f"{PROVIDER}.{operation.full_name}",
        "name": operation.name,
        "access": operation.access,
        "summary": operation.summary,
    }
