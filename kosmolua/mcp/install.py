"""Registers the server in the configuration files of MCP clients, and removes it from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.mcp import blocks, jsonc
from kosmolua.mcp.clients import Client, path_of
from kosmolua.settings.atomic import rewrite


def entry(client: Client, name: str, flags: Sequence[str], *, project: bool) -> dict[str, Any]:
    """The entry that starts the server. In a project, the entry runs `kosmo` from PATH, since paths differ between
    machines.
    """
    command = ["kosmo"] if project else [sys.executable, "-m", "kosmolua"]
    needed = () if any(flag.split("=")[0] in client.flags for flag in flags) else client.flags
    return client.entry(name, [*command, "mcp:serve", *needed, *flags])


def install(client: Client, name: str, flags: Sequence[str], *, project: bool) -> str:
    """Register the server and return the path of the file. Raises a `ConfigurationError` for an invalid file."""
    made = entry(client, name, flags, project=project)
    return _change(client, lambda content: merged(client, content, name, made), project=project)


def uninstall(client: Client, name: str, *, project: bool) -> tuple[str, bool]:
    """Remove the server. Returns the path of the file, and whether the server was registered there. Raises a
    `ConfigurationError`.
    """
    path, removed = _path(client, project=project), False
    if not os.path.exists(path):
        return path, False

    def change(content: bytes) -> bytes:
        nonlocal removed
        left = without(client, content, name)
        removed = left != content
        return left

    _change(client, change, project=project)
    return path, removed


def merged(client: Client, content: bytes, name: str, entry: dict[str, Any]) -> bytes:
    """The file's content with the server added. Raises a ValueError for an invalid file."""
    match client.form:
        case "toml":
            return _toml(content, client.section, name, entry)
        case "yaml":
            return blocks.with_entry(content.decode(), client.section, name, entry).encode()
    return jsonc.with_entry(content.decode(), client.section, name, entry).encode()


def without(client: Client, content: bytes, name: str) -> bytes:
    """The file's content without the server. Raises a ValueError for an invalid file."""
    match client.form:
        case "toml":
            return _toml(content, client.section, name, None)
        case "yaml":
            return blocks.without_entry(content.decode(), client.section, name).encode()
    return jsonc.without_entry(content.decode(), client.section, name).encode()


def _path(client: Client, *, project: bool) -> str:
    if project and client.project is None:
        raise UsageError(
            f"{client.title} has no configuration file for a project",
            hint=f"register it for this user: kosmo mcp:install {client.name}",
        )
    return path_of(client, project=project)


def _change(client: Client, change: Callable[[bytes], bytes], *, project: bool) -> str:
    path = _path(client, project=project)
    try:
        rewrite(path, change)
    except ValueError as error:  # including a file that is not UTF-8
        raise ConfigurationError(
            f"invalid configuration file {path}: {error}",
            hint=f"fix the file, or add the entry by hand; print it with kosmo mcp:export {client.name}",
        ) from None
    return path


def _toml(content: bytes, section: str, name: str, entry: dict[str, Any] | None) -> bytes:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        found = tomlkit.parse(content)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
    if entry is None and section not in found:
        return content
    servers = found.setdefault(section, tomlkit.table(is_super_table=True))
    if not isinstance(servers, dict):
        raise ValueError(f"expected a table with servers by name in `{section}`")  # noqa: TRY004 - the file is wrong, not an argument
    if entry is not None:
        servers[name] = entry
    elif name not in servers:
        return content
    else:
        del servers[name]
    return tomlkit.dumps(found).encode()
