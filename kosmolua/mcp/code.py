"""Code mode: three tools instead of one per function. They search and read documentation, and run Lua."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.errors import ArgumentError
from kosmolua.mcp import schemas
from kosmolua.mcp.schemas import Dialect
from kosmolua.mcp.tools import json_of

EXECUTE, SEARCH, READ = "execute_lua", "search_docs", "read_docs"

DEFINITIONS: dict[str, dict[str, Any]] = {
    SEARCH: {
        "title": "Search the documentation",
        "description": "Search functions of the Replicate API and pages by name or purpose.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "Words to search for, such as: cancel training"}},
            "required": ["query"],
        },
        "outputSchema": schemas.ENVELOPE,
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    },
    READ: {
        "title": "Read the documentation",
        "description": "Read about a function (parameters, result, example), or a page such as lua or errors.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "A name that search_docs returned"}},
            "required": ["name"],
        },
        "outputSchema": schemas.ENVELOPE,
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    },
    EXECUTE: {
        "title": "Run Lua",
        "description": "Run a Lua script against Replicate, in a sandbox and within a budget. "
        "run(model, input) returns the output of a model; replicate.<function>{...} calls the API; also available: "
        "parallel(list, f), each(name), replicate.cancel_all(list), stream, wait, download(url, path), sleep(seconds), "
        "json and print. "
        "Filter in Lua and return only what you need. The answer contains result, output and the log of calls.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "source": {"type": "string", "description": "The Lua script"},
                "args": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "The arguments of the script, in `args`",
                },
            },
            "required": ["source"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "success": {"type": "boolean"},
                "result": {},
                "output": {"type": "string"},
                "error": {},
                "call_log": {"type": "array"},
                "spent": {"type": "object"},
                "running": {"type": "array"},
            },
            "required": ["success"],
        },
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": True,
            "idempotentHint": False,
            "openWorldHint": True,
        },
    },
}


def definitions(*, writes: bool, dialect: Dialect = "any") -> list[dict[str, Any]]:
    """The three tools. Without writes, running a script is read-only."""
    return [_definition(name, writes=writes, dialect=dialect) for name in DEFINITIONS]


def _definition(name: str, *, writes: bool, dialect: Dialect) -> dict[str, Any]:
    found = DEFINITIONS[name]
    input_ = schemas.closed(found["inputSchema"], dialect)
    hints = _READS if name == EXECUTE and not writes else found["annotations"]
    return {"name": name, **found, "inputSchema": input_, "annotations": hints}


_READS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True}


def checked(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tool without nulls, ``args`` as a list. Raises an `ArgumentError` for invalid ones."""
    schema = DEFINITIONS[name]["inputSchema"]
    given = {key: value for key, value in arguments.items() if value is not None}
    for key in (*given, *schema["required"]):
        if key not in schema["properties"]:
            raise _error(name, f"unknown argument `{key[:100]}`; expected one of {', '.join(schema['properties'])}")
        if key not in given:
            raise _error(name, f"missing argument `{key}`")
        if key == "args":
            given[key] = _strings(name, given[key])
        elif not isinstance(given[key], str):
            raise _error(name, f"expected a string - at `{key}`")
    return given


def _strings(name: str, value: Any) -> list[str]:
    """A list of strings, also given as JSON text."""
    found = json_of(value) if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _error(name, "expected a list of strings - at `args`")
    return found


def _error(name: str, message: str) -> ArgumentError:
    example = ", ".join(f'"{key}": "..."' for key in DEFINITIONS[name]["inputSchema"]["required"])
    return ArgumentError(f"{name}: {message}", hint=f"call it with {{{example}}}")
