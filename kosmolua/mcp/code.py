"""Code mode: four tools instead of one for each function. They search and read documentation, run Lua, and look up
runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.errors import ArgumentError
from kosmolua.mcp import schemas
from kosmolua.mcp.schemas import Dialect
from kosmolua.mcp.tools import json_of

EXECUTE, SEARCH, READ, RUNS = "execute_lua", "search_docs", "read_docs", "runs"
_READ_ONLY = {"readOnlyHint": True, "openWorldHint": False}

DEFINITIONS: dict[str, dict[str, Any]] = {
    SEARCH: {
        "title": "Search docs",
        "description": "Search Replicate functions and pages by name or purpose.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "Such as: cancel training"}},
            "required": ["query"],
        },
        "outputSchema": schemas.DONE,
        "annotations": _READ_ONLY,
    },
    READ: {
        "title": "Read docs",
        "description": "Read about a function (parameters, result, example), or a page such as lua or errors.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "A name that search_docs returned"}},
            "required": ["name"],
        },
        "outputSchema": schemas.DONE,
        "annotations": _READ_ONLY,
    },
    EXECUTE: {
        "title": "Run Lua",
        "description": "Run a Lua script against Replicate, sandboxed and within a budget. "
        "run(model, input) returns the output of a model; replicate.<function>{...} calls the API; also available: "
        "parallel(list, f), each(name), replicate.cancel_all(list), stream, wait, download(url, path), sleep(seconds), "
        "json and print. "
        "Filter in Lua and return only what you need.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "source": {"type": "string", "description": "The Lua script"},
                "args": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Its arguments, in `args`",
                },
                "id": {"type": "string", "description": "Instead of source: a run to continue"},
            },
            "required": [],
        },
        "outputSchema": schemas.RUN,
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": True,
            "idempotentHint": False,
            "openWorldHint": True,
        },
    },
    RUNS: {
        "title": "Look up runs",
        "description": "List the runs that are running or waiting, or get the result of one.",
        "inputSchema": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "From execute_lua"}},
            "required": [],
        },
        "outputSchema": schemas.DONE,
        "annotations": _READ_ONLY,
    },
}


def definitions(*names: str, writes: bool = False, dialect: Dialect = "any") -> list[dict[str, Any]]:
    """The definitions of the tools with these names, by default all. Without ``writes``, the tool that runs scripts is
    marked read-only.
    """
    return [_definition(name, writes=writes, dialect=dialect) for name in names or DEFINITIONS]


def _definition(name: str, *, writes: bool, dialect: Dialect) -> dict[str, Any]:
    found = DEFINITIONS[name]
    input_ = schemas.closed(found["inputSchema"], dialect)
    hints = _READS if name == EXECUTE and not writes else found["annotations"]
    return {"name": name, **found, "inputSchema": input_, "annotations": hints}


_READS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True}


def checked(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tool, without nulls and with ``args`` as a list. Raises an `ArgumentError` for invalid
    ones.
    """
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
    if name == EXECUTE and "source" not in given and "id" not in given:
        raise _error(name, "missing argument `source`")
    return given


def _strings(name: str, value: Any) -> list[str]:
    """A list of strings, which may be given as JSON text."""
    found = json_of(value) if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _error(name, "expected a list of strings - at `args`")
    return found


def _error(name: str, message: str) -> ArgumentError:
    required = DEFINITIONS[name]["inputSchema"]["required"] or [*DEFINITIONS[name]["inputSchema"]["properties"]][:1]
    example = ", ".join(f'"{key}": "..."' for key in required)
    return ArgumentError(f"{name}: {message}", hint=f"call it with {{{example}}}")
