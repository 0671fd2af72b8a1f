"""Register the server in the configuration files of MCP clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.settings.atomic import rewrite


class Client(Struct, frozen=True, kw_only=True):
    """A client: its configuration files for a user and a project, and the ``section`` that lists servers by name."""

    name: str
    title: str
    user: str
    project: str
    section: str
    form: Literal["json", "toml"] = "json"
    typed: bool = False  # whether an entry names its transport, stdio


_VSCODE = "~/Library/Application Support/Code/User" if sys.platform == "darwin" else "~/.config/Code/User"
_KNOWN = (
    Client(
        name="claude-code",
        title="Claude Code",
        user="~/.claude.json",
        project=".mcp.json",
        section="mcpServers",
        typed=True,
    ),
    Client(name="cursor", title="Cursor", user="~/.cursor/mcp.json", project=".cursor/mcp.json", section="mcpServers"),
    Client(
        name="vscode",
        title="VS Code",
        user=f"{_VSCODE}/mcp.json",
        project=".vscode/mcp.json",
        section="servers",
        typed=True,
    ),
    Client(
        name="codex",
        title="Codex",
        user="~/.codex/config.toml",
        project=".codex/config.toml",
        section="mcp_servers",
        form="toml",
    ),
)
CLIENTS = {client.name: client for client in _KNOWN}


def path_of(client: Client, *, project: bool) -> str:
    return os.path.abspath(client.project if project else os.path.expanduser(client.user))


def entry(client: Client, flags: Sequence[str], *, project: bool) -> dict[str, Any]:
    """The entry that starts the server. In a project it runs `kosmo` from PATH, since paths differ per machine."""
    command = ["kosmo"] if project else [sys.executable, "-m", "kosmolua"]
    kind = {"type": "stdio"} if client.typed else {}
    return {**kind, "command": command[0], "args": [*command[1:], "mcp:serve", *flags]}


def install(client: Client, name: str, flags: Sequence[str], *, project: bool) -> str:
    """Register the server and return the path of the file. Raises a `ConfigurationError` for an invalid file."""
    path = path_of(client, project=project)
    made = entry(client, flags, project=project)
    try:
        rewrite(path, lambda content: merged(client, content, name, made))
    except ValueError as error:
        raise ConfigurationError(
            f"invalid configuration file {path}: {error}",
            hint=f"fix the file, or add what this prints by hand: kosmo mcp:export {client.name}",
        ) from None
    return path


def merged(client: Client, content: bytes, name: str, entry: dict[str, Any]) -> bytes:
    """The file with the server added. Raises a ValueError for an invalid file."""
    return (_toml if client.form == "toml" else _json)(content, client.section, name, entry)


def _json(content: bytes, section: str, name: str, entry: dict[str, Any]) -> bytes:
    found = msgspec.json.decode(content) if content.strip() else {}
    servers = found.setdefault(section, {}) if isinstance(found, dict) else None
    if not isinstance(servers, dict):
        raise ValueError(f"expected an object with servers by name in `{section}`")  # noqa: TRY004 - of the file
    servers[name] = entry
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _toml(content: bytes, section: str, name: str, entry: dict[str, Any]) -> bytes:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        found = tomlkit.parse(content)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
    servers = found.setdefault(section, tomlkit.table(is_super_table=True))
    if not isinstance(servers, dict):
        raise ValueError(f"expected a table with servers by name in `{section}`")  # noqa: TRY004 - of the file
    servers[name] = entry
    return tomlkit.dumps(found).encode()
