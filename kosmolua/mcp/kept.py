"""The user's kept scripts, as documentation pages and as tools with typed arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.described import Description, describe
from kosmolua.mcp import schemas
from kosmolua.mcp.schemas import Dialect
from kosmolua.settings import library

PREFIX, TOOL = "scripts.", "script_"
_HINTS = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}

CONTINUE = "continue_script"
_CONTINUE: dict[str, Any] = {
    "name": CONTINUE,
    "title": "Continue a script",
    "description": "Continue a script that waited for an approval, once the person has decided.",
    "inputSchema": {
        "type": "object",
        "properties": {"id": {"type": "string", "description": "From the result of the script"}},
        "required": ["id"],
    },
    "outputSchema": schemas.RUN,
    "annotations": _HINTS,
}


def described(environment: Mapping[str, str] = os.environ) -> dict[str, Description]:
    """All scripts by name, without those whose header is invalid."""
    found = {}
    for name in library.names(environment):
        try:
            found[name] = describe(library.read(environment, name), f"{name}.lua")
        except UsageError:
            continue
    return found


def entries(query: str) -> list[dict[str, str]]:
    """The scripts whose name or summary contains a word of the query, as search results."""
    words = query.lower().split()
    return [
        {"name": PREFIX + name, "kind": "script", "summary": each.summary}
        for name, each in described().items()
        if any(word in f"{name} {each.summary}".lower() for word in words)
    ]


def page(name: str) -> str:
    """The page of a script: its description, arguments and text. Raises a `UsageError` for an unknown script."""
    text = library.read(os.environ, name.removeprefix(PREFIX)).decode(errors="replace")
    found = describe(text.encode(), name)
    rows = [
        f"- {each.name} ({each.type}{', required' if each.required else ''}): {each.about}" for each in found.arguments
    ]
    about = "\n".join(rows) or "None."
    return f"# {name}\n\n{found.summary}\n\n## Arguments, in `args`\n\n{about}\n\n## Text\n\n```lua\n{text}\n```\n"


def tools(dialect: Dialect) -> list[dict[str, Any]]:
    """The definitions of the tools, one for each kept script."""
    return [
        {
            "name": TOOL + name,
            "title": name.replace("_", " ").capitalize(),
            "description": each.summary or f"Run the kept script {name}.",
            "inputSchema": schemas.closed(each.schema(), dialect),
            "outputSchema": schemas.RUN,
            "annotations": _HINTS,
        }
        for name, each in described().items()
    ]


def continuing(dialect: Dialect) -> dict[str, Any]:
    """The tool that continues a script if `execute_lua` is not offered."""
    return {**_CONTINUE, "inputSchema": schemas.closed(_CONTINUE["inputSchema"], dialect)}


def identifier(arguments: Mapping[str, Any]) -> str:
    """The id that the continuing tool got as its argument. Raises an `ArgumentError`."""
    given = arguments.get("id")
    if not isinstance(given, str) or len(arguments) > 1:
        raise ArgumentError(f"{CONTINUE}: expected the string `id` and nothing else", hint='call it with {"id": "..."}')
    return given


def prepared(tool: str, arguments: Mapping[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    """The name, text and arguments of a tool's script. Raises a `UsageError` if one of them is invalid."""
    name = tool.removeprefix(TOOL)
    text = library.read(os.environ, name)
    return f"{name}.lua", text, describe(text, f"{name}.lua").values(arguments, name)
