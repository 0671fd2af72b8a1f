"""Code mode: three tools instead of one per function. They search and read documentation, and run Lua."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.errors import ArgumentError

EXECUTE, SEARCH, READ = "execute_lua", "search_docs", "read_docs"

DEFINITIONS: dict[str, dict[str, Any]] = {
    SEARCH: {
        "title": "Search the documentation",
        "description": "Search functions of the Replicate API and pages by name or purpose.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "Words to search for, such as: cancel training"}},
            "required": ["query"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    },
    READ: {
        "title": "Read the documentation",
        "description": "Read about a function (parameters, result, example), or a page such as lua or errors.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "A name that search_docs returned"}},
            "required": ["name"],
            "additionalProperties": False,
        },
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
            "additionalProperties": False,
        },
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": True,
            "idempotentHint": False,
            "openWorldHint": True,
        },
    },
}


def definitions(*, writes: bool) -> list[dict[str, Any]]:
    """The three tools. Without writes, running a script is read-only."""
    reads = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True}
    return [
        {"name": name, **definition, **({"annotations": reads} if name == EXECUTE and not writes else {})}
        for name, definition in DEFINITIONS.items()
    ]


def check(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise an `ArgumentError` for invalid arguments of a tool."""
    schema = DEFINITIONS[name]["inputSchema"]
    for key in (*arguments, *schema["required"]):
        if key not in schema["properties"]:
            raise ArgumentError(
                f"{name}: unknown argument `{key[:100]}`; expected one of {', '.join(schema['properties'])}"
            )
        if key not in arguments:
            raise ArgumentError(f"{name}: missing argument `{key}`")
        value = arguments[key]
        if key == "args":
            is_valid = isinstance(value, list) and all(isinstance(item, str) for item in value)
        else:
            is_valid = isinstance(value, str)
        if not is_valid:
            expected = "a list of strings" if key == "args" else "a string"
            raise ArgumentError(f"{name}: expected {expected} - at `{key}`")
