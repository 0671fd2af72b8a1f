"""Code mode: three tools in the place of many. One reads, one finds, one runs Lua that calls what it likes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.errors import ArgumentError

EXECUTE, SEARCH, READ = "execute_lua", "search_docs", "read_docs"

DEFINITIONS: dict[str, dict[str, Any]] = {
    SEARCH: {
        "title": "Search the documentation",
        "description": "Find functions of the Replicate API, and pages, by name or purpose.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "Words, such as: cancel training"}},
            "required": ["query"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    },
    READ: {
        "title": "Read the documentation",
        "description": "A function's parameters, answer and example, or a page such as lua, permissions or errors.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "As search_docs gives it"}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    },
    EXECUTE: {
        "title": "Run Lua",
        "description": "Run a Lua script against Replicate, isolated and within a budget. "
        "run(model, input) waits for the output; replicate.<function>{...} calls the API and returns its object; "
        "parallel(list, f), each(name), replicate.cancel_all(list), stream, wait, download(url, path), sleep(seconds), "
        "json and print are there. "
        "Return the values you need, and filter in Lua. Answers with result, output, and the log of calls.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "source": {"type": "string", "description": "The Lua text"},
                "args": {"type": "array", "items": {"type": "string"}, "description": "What it finds in `args`"},
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
    """The three; where no write gets through, running a script only reads."""
    reads = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True}
    return [
        {"name": name, **definition, **({"annotations": reads} if name == EXECUTE and not writes else {})}
        for name, definition in DEFINITIONS.items()
    ]


def check(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise an `ArgumentError` for arguments that the tool does not take."""
    schema = DEFINITIONS[name]["inputSchema"]
    for key in (*arguments, *schema["required"]):
        if key not in schema["properties"]:
            raise ArgumentError(f"{name}: unknown argument `{key[:100]}`; it takes {', '.join(schema['properties'])}")
        if key not in arguments:
            raise ArgumentError(f"{name}: missing `{key}`")
        value = arguments[key]
        if key == "args":
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        else:
            fits = isinstance(value, str)
        if not fits:
            expected = "a list of strings" if key == "args" else "a string"
            raise ArgumentError(f"{name}: expected {expected} - at `{key}`")
