"""MCP clients as data: where each client lists its servers, and what an entry looks like. The paths are those of Linux
and macOS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Form = Literal["json", "toml", "yaml"]
Entry = Callable[[str, Sequence[str]], dict[str, Any]]
"""Makes the entry of a server from its name and its command line."""


class Client(Struct, frozen=True, kw_only=True):
    """A client: its configuration files for a user and a project, and the ``section`` that lists servers by name.

    ``home`` names a variable that replaces the first ``~/…`` directory of ``user``. ``twins`` are other names of the
    file, used if a file of that name exists. ``flags`` are flags of mcp:serve that this client needs.
    """

    name: str
    title: str
    user: str
    project: str | None = None
    section: str = "mcpServers"
    form: Form = "json"
    entry: Entry
    home: tuple[str, str] | None = None
    twins: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def _plain(_name: str, command: Sequence[str]) -> dict[str, Any]:
    return {"command": command[0], "args": [*command[1:]]}


def _stdio(_name: str, command: Sequence[str]) -> dict[str, Any]:
    return {"type": "stdio", "command": command[0], "args": [*command[1:]]}


def _zed(_name: str, command: Sequence[str]) -> dict[str, Any]:
    return {"source": "custom", "command": command[0], "args": [*command[1:]], "env": {}}


def _opencode(_name: str, command: Sequence[str]) -> dict[str, Any]:
    return {"type": "local", "command": [*command], "enabled": True}


def _copilot(_name: str, command: Sequence[str]) -> dict[str, Any]:
    return {"type": "local", "command": command[0], "args": [*command[1:]], "tools": ["*"]}


def _goose(name: str, command: Sequence[str]) -> dict[str, Any]:
    return {
        "enabled": True,
        "type": "stdio",
        "name": name,
        "description": "Replicate, by kosmolua",
        "cmd": command[0],
        "args": [*command[1:]],
        "envs": {},
        "timeout": 600,
    }


_SUPPORT = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
_XDG = ("XDG_CONFIG_HOME", "~/.config")
_CODE = f"{_SUPPORT}/Code/User"
_XDG_ON_LINUX = None if sys.platform == "darwin" else _XDG
_KNOWN = (
    Client(
        name="claude-code",
        title="Claude Code",
        user="~/.claude.json",
        project=".mcp.json",
        entry=_stdio,
        home=("CLAUDE_CONFIG_DIR", "~"),
    ),
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        user=f"{_SUPPORT}/Claude/claude_desktop_config.json",
        entry=_plain,
        home=_XDG_ON_LINUX,
    ),
    Client(name="cursor", title="Cursor", user="~/.cursor/mcp.json", project=".cursor/mcp.json", entry=_plain),
    Client(
        name="vscode",
        title="VS Code",
        user=f"{_CODE}/mcp.json",
        project=".vscode/mcp.json",
        section="servers",
        entry=_stdio,
        home=_XDG_ON_LINUX,
    ),
    Client(
        name="codex",
        title="Codex",
        user="~/.codex/config.toml",
        project=".codex/config.toml",
        section="mcp_servers",
        form="toml",
        entry=_plain,
        home=("CODEX_HOME", "~/.codex"),
    ),
    Client(
        name="gemini-cli",
        title="Gemini CLI",
        user="~/.gemini/settings.json",
        project=".gemini/settings.json",
        entry=_plain,
        flags=("--client", "gemini"),
    ),
    Client(name="windsurf", title="Windsurf", user="~/.codeium/windsurf/mcp_config.json", entry=_plain),
    Client(
        name="zed",
        title="Zed",
        user="~/.config/zed/settings.json",
        project=".zed/settings.json",
        section="context_servers",
        entry=_zed,
        home=_XDG,
    ),
    Client(
        name="opencode",
        title="opencode",
        user="~/.config/opencode/opencode.json",
        project="opencode.json",
        section="mcp",
        entry=_opencode,
        home=_XDG,
        twins=("opencode.jsonc",),
    ),
    Client(
        name="cline",
        title="Cline",
        user=f"{_CODE}/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        entry=_plain,
        home=_XDG_ON_LINUX,
    ),
    Client(
        name="goose",
        title="goose",
        user="~/.config/goose/config.yaml",
        section="extensions",
        form="yaml",
        entry=_goose,
        home=_XDG,
    ),
    Client(
        name="copilot-cli",
        title="Copilot CLI",
        user="~/.copilot/mcp-config.json",
        project=".github/mcp.json",
        entry=_copilot,
        home=("COPILOT_HOME", "~/.copilot"),
    ),
)
CLIENTS = {client.name: client for client in _KNOWN}


def path_of(client: Client, *, project: bool, environment: Mapping[str, str] = os.environ) -> str:
    """The configuration file to write. If the client reads several names, it is the file that exists."""
    path = os.path.abspath(client.project or "") if project else _user_path(client, environment)
    for twin in client.twins:
        other = os.path.join(os.path.dirname(path), twin)
        if os.path.exists(other) and not os.path.exists(path):
            return other
    return path


def _user_path(client: Client, environment: Mapping[str, str]) -> str:
    variable, default = client.home or ("", "")
    chosen = environment.get(variable, "")
    path = client.user
    if chosen and path.startswith(f"{default}/"):
        path = os.path.join(chosen, path.removeprefix(f"{default}/"))
    return os.path.abspath(os.path.expanduser(path))
