"""``integrations:status`` and ``integrations:trust``: the settings in force with their sources, and project trust."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options, output
from kosmolua.cli.providers import check_provider
from kosmolua.errors import UsageError
from kosmolua.gate.policy import policy_of
from kosmolua.settings import config, credentials, paths, trust
from kosmolua.settings.config import DEFAULT_ACCOUNT, Settings, Value
from kosmolua.settings.edit import SECTION
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table

if TYPE_CHECKING:
    import argparse


def run(command: str, argv: list[str]) -> int:
    answer, show = _COMMANDS[command]
    parsed = _parser(command).parse_args(argv)
    data = answer(parsed)
    if parsed.json:
        output.show_json(data)
    else:
        output.write_text(show(data) + "\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    if command == "integrations:status":
        made = options.parser(command, "Show each setting in force here and its source.", f"kosmo {command} --json")
        made.add_argument(
            "provider", nargs="?", default=SECTION, metavar="PROVIDER", help=f"provider to show (default: {SECTION})"
        )
    else:
        made = options.parser(
            command,
            "Trust this project's .kosmo/config.toml, including settings that loosen policy, until the file changes.",
            f"kosmo {command}",
        )
        made.add_argument("--revoke", action="store_true", help="stop trusting the file")
    options.add_json(made)
    return made


# Status -----------------------------------------------------------------------------------------------------------


def _status(parsed: argparse.Namespace) -> dict[str, Any]:
    check_provider(parsed.provider)
    settings = config.load(os.environ)
    policy_of(settings)
    accounts = [_account(settings, name) for name in sorted({DEFAULT_ACCOUNT, *settings.accounts})]
    return {
        "success": True,
        "providers": [
            {
                "provider": SECTION,
                "enabled": _value(settings.enabled),
                "configured": any(account["configured"] for account in accounts),
                "url": _value(settings.url),
                "permissions": {"read": _value(settings.read), "write": _value(settings.write)},
                "rules": [{"rule": rule, "origin": origin} for origin, rule in settings.rules],
                "accounts": accounts,
            }
        ],
        "files": _files(),
        "notices": list(settings.notices),
    }


def _value(value: Value[Any]) -> dict[str, Any]:
    return {"value": value.value, "origin": value.origin}


def _account(settings: Settings, name: str) -> dict[str, Any]:
    """Where the token of the account is stored. The keyring is not opened, since that might ask for a password."""
    found = credentials.from_environment(os.environ) if name == DEFAULT_ACCOUNT else None
    section = settings.accounts.get(name)
    storage = section.storage if section else None
    origin = found.origin if found else storage
    return {
        "account": name,
        "configured": origin is not None,
        "credential": {"key": "api_key", "set": origin is not None, "origin": origin},
        "storage": storage,
        "url": _value(settings.url_of(name)),
    }


def _files() -> dict[str, Any]:
    own = paths.global_file(os.environ)
    project = paths.project_file(os.getcwd())
    return {
        "global": {"path": own, "exists": os.path.exists(own)},
        "project": {"path": project, "exists": project is not None, "trusted": _is_trusted(project)},
    }


def _is_trusted(path: str | None) -> bool:
    found = config.read_file(path) if path else None
    return found is not None and trust.is_trusted(os.environ, found.path, found.content)


def _show_status(data: dict[str, Any]) -> str:
    provider = data["providers"][0]
    values = {"enabled": provider["enabled"], "url": provider["url"], **provider["permissions"]}
    rows = [(name, _word(item["value"]), item["origin"]) for name, item in values.items()]
    accounts = [(item["account"], _token(item), item["url"]["value"]) for item in provider["accounts"]]
    parts = [
        f"{heading(provider['provider'])}\n{_table(rows)}",
        f"{heading('accounts')}\n{_table(accounts)}",
        f"{heading('files')}\n{_table(_file_rows(data['files']))}",
        *([f"{heading('ignored')}\n" + _listed(data["notices"])] if data["notices"] else []),
    ]
    return "\n\n".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    """The rows as a table, made safe to print, since their text may come from files."""
    return table(tuple(safe(cell) for cell in row) for row in rows)


def _listed(lines: list[str]) -> str:
    return "\n".join(f"  {safe(line)}" for line in lines)


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _token(account: dict[str, Any]) -> str:
    origin = account["credential"]["origin"]
    return f"token from {origin}" if origin else "no token"


def _file_rows(files: dict[str, Any]) -> list[tuple[str, str, str]]:
    own, project = files["global"], files["project"]
    trusted = "trusted" if project["trusted"] else "not trusted: settings that loosen policy are ignored"
    return [
        ("global", "found" if own["exists"] else "none", own["path"]),
        ("project", trusted if project["exists"] else "none", project["path"] or ""),
    ]


# Trust ------------------------------------------------------------------------------------------------------------


def _trust(parsed: argparse.Namespace) -> dict[str, Any]:
    path = paths.project_file(os.getcwd())
    found = config.read_file(path) if path else None
    if found is None:
        raise UsageError(
            f"no {paths.PROJECT_FILE} found here or in a parent directory",
            hint=f"create one: kosmo integrations:configure {SECTION} --project --write ask",
        )
    before = trust.is_trusted(os.environ, found.path, found.content)
    if parsed.revoke:
        trust.revoke(os.environ, found.path)
    else:
        trust.trust(os.environ, found.path, found.content)
    return {
        "success": True,
        "path": found.path,
        "trusted": not parsed.revoke,
        "before": before,
        "content": found.content.decode(),
    }


def _show_trust(data: dict[str, Any]) -> str:
    if not data["trusted"]:
        return f"{data['path']} is no longer trusted: settings that loosen policy are ignored"
    content = "\n".join(f"  | {safe(line)}" for line in data["content"].splitlines())
    return f"{data['path']} is trusted until it changes. It contains:\n{content}"


_COMMANDS = {"integrations:status": (_status, _show_status), "integrations:trust": (_trust, _show_trust)}
