"""``integrations:configure``: tokens, URL, permissions, accounts. From flags, JSON on standard input, or a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.cli import options, output
from kosmolua.cli.providers import check_provider
from kosmolua.errors import UsageError
from kosmolua.settings.config import DEFAULT_ACCOUNT, VERDICTS, Storage, Verdict
from kosmolua.settings.edit import SECRET_KEY, SECTION, URL_KEY, Change, ChangeResult, Scope, apply
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    import argparse

_MAX_INPUT = 1 << 20
_ON_COMMAND_LINE = (
    "a token on the command line can be seen by others on this machine and stays in the shell's history; "
    "safer: --stdin-json, or no flags for a prompt"
)


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    check_provider(parsed.provider)
    change = _change(parsed)
    warnings = [_ON_COMMAND_LINE] if any(text.startswith(f"{SECRET_KEY}=") for text in parsed.set) else []
    for warning in warnings:
        print(f"kosmo: {warning}", file=sys.stderr)
    done = apply(change, os.environ)
    if parsed.json:
        output.show_json(_answer(done, change, warnings))
    else:
        output.write_text(safe(_told(done)) + "\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    made = options.parser(
        command,
        "Configures a provider. On a terminal, without flags, it asks; the token is not shown while typed.",
        f"""kosmo {command} {SECTION} --enable --read allow --write ask
  printf '{{"set": {{"api_key": "%s"}}}}' "$TOKEN" | kosmo {command} {SECTION} --stdin-json --json""",
    )
    made.add_argument("provider", nargs="?", default=SECTION, metavar="PROVIDER", help=f"default: {SECTION}")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="api_key (the token) or url; repeatable"
    )
    made.add_argument("--unset", action="append", default=[], metavar="KEY", help="forget a value; repeatable")
    made.add_argument("--stdin-json", action="store_true", help="take the change as a JSON object on standard input")
    enabling = made.add_mutually_exclusive_group()
    enabling.add_argument("--enable", dest="enabled", action="store_true", default=None, help="let it be called")
    enabling.add_argument("--disable", dest="enabled", action="store_false", help="let nothing be called")
    made.add_argument("--read", choices=VERDICTS, help="policy for reads")
    made.add_argument("--write", choices=VERDICTS, help="policy for writes")
    made.add_argument("--permissions", metavar="LIST", help="both at once: read:allow,write:ask")
    made.add_argument("--account", metavar="NAME", help=f"the account meant (default: {DEFAULT_ACCOUNT})")
    made.add_argument("--remove", action="store_true", help="forget the account with its token")
    made.add_argument("--storage", choices=("keyring", "file"), help="keep the token there; moves one that is stored")
    scope = made.add_mutually_exclusive_group()
    scope.add_argument("--global", dest="scope", action="store_const", const="global", help="for this user (default)")
    scope.add_argument(
        "--project", dest="scope", action="store_const", const="project", help="for this directory: .kosmo/config.toml"
    )
    made.add_argument("--json", action="store_true", help="answer with one JSON object")
    return made


# What is to be changed --------------------------------------------------------------------------------------------


class _Input(Struct, forbid_unknown_fields=True):
    """What standard input may say."""

    account: str = DEFAULT_ACCOUNT
    set: dict[str, str] = {}
    credentials: dict[str, str] = {}
    unset: list[str] = []
    enabled: bool | None = None
    permissions: dict[str, Verdict] = {}
    scope: Scope | None = None
    storage: Storage | None = None
    remove: bool = False


def _change(parsed: argparse.Namespace) -> Change:
    """The change that flags, input or a person ask for; flags win over input."""
    said = _from_stdin() if parsed.stdin_json else _Input()
    given = msgspec.structs.replace(
        said,
        account=parsed.account or said.account,
        set={**said.credentials, **said.set, **_pairs(parsed.set)},
        unset=[*said.unset, *parsed.unset],
        enabled=said.enabled if parsed.enabled is None else parsed.enabled,
        permissions={**_checked(said.permissions), **_permissions(parsed)},
        scope=parsed.scope or said.scope,
        storage=parsed.storage or said.storage,
        remove=parsed.remove or said.remove,
    )
    if _is_nothing(given):
        given = _ask(given)
    return Change(
        account=given.account,
        set=given.set,
        unset=tuple(given.unset),
        enabled=given.enabled,
        permissions=given.permissions,
        scope=given.scope or "global",
        storage=given.storage,
        remove=given.remove,
    )


def _is_nothing(given: _Input) -> bool:
    return given.enabled is None and not any(
        (given.set, given.unset, given.permissions, given.storage, given.remove),
    )


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError("--set: expected KEY=VALUE; what was given is not shown, since it may be a token")
        if not value:
            raise UsageError(
                f"--set: {key} is empty", hint=f"to forget it: --unset {key}; was a variable of the shell not set?"
            )
        found[key] = value
    return found


def _permissions(parsed: argparse.Namespace) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for part in (parsed.permissions or "").split(","):
        if part.strip():
            access, _, verdict = part.partition(":")
            found[access.strip()] = verdict.strip()  # type: ignore[assignment]  # checked in the next line
    for access in ("read", "write"):
        if getattr(parsed, access):
            found[access] = getattr(parsed, access)
    return _checked(found)


def _checked(permissions: dict[str, Verdict]) -> dict[str, Verdict]:
    for access, verdict in permissions.items():
        if access not in {"read", "write"} or verdict not in VERDICTS:
            raise UsageError(
                f"permissions: expected read or write, each with allow, ask or deny, got {access}:{verdict}",
                hint="for example: --permissions read:allow,write:ask",
            )
    return permissions


def _from_stdin() -> _Input:
    data = sys.stdin.buffer.read(_MAX_INPUT)
    try:
        return msgspec.json.decode(data, type=_Input)
    except msgspec.ValidationError as error:
        raise UsageError(f"standard input: {error}", hint=_INPUT_HINT) from None
    except msgspec.DecodeError:  # its message could show a piece of a token
        raise UsageError("standard input is not JSON", hint=_INPUT_HINT) from None


_INPUT_HINT = (
    'for example: {"account": "work", "set": {"api_key": "…"}, "enabled": true, "permissions": {"write": "ask"}}; '
    "besides these it may have unset, scope, storage, remove"
)


# Asking a person --------------------------------------------------------------------------------------------------


def _ask(given: _Input) -> _Input:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing to configure is given, and there is no terminal to ask on",
            hint=f"give --set, --enable, --read or --write, or JSON: kosmo integrations:configure {SECTION} --help",
        )
    from getpass import getpass

    from kosmolua.manual.reference import FIELDS

    found: dict[str, str] = {}
    try:
        for item in FIELDS:
            default = "Enter keeps it as it is"
            text = f"{item['label']} ({default}): "
            answer = getpass(text) if item["type"] == "secret" else _line(text)
            if answer.strip():
                found[item["key"]] = answer.strip()
        write = _choice("Writes, which may cost money: allow, ask or deny? (Enter keeps it as it is): ")
    except EOFError:
        raise UsageError("nothing was answered; nothing was changed") from None
    permissions: dict[str, Verdict] = {"write": write} if write else {}
    if not found and not permissions:
        raise UsageError("nothing was answered; nothing was changed")
    return msgspec.structs.replace(given, set=found, permissions=permissions, enabled=True)


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _choice(prompt: str) -> Verdict | None:
    while True:
        answer = _line(prompt).strip().lower()
        for verdict in VERDICTS:
            if answer == verdict:
                return verdict  # type: ignore[return-value]  # one of the three
        if not answer:
            return None
        print("allow, ask or deny, please", file=sys.stderr)


# Telling ----------------------------------------------------------------------------------------------------------


def _answer(done: ChangeResult, change: Change, warnings: list[str]) -> dict[str, Any]:
    return {
        "success": True,
        "provider": SECTION,
        "account": done.account,
        "changed": list(done.changed),
        "scope": done.scope,
        "path": done.path,
        "storage": done.storage,
        **({"url": change.set[URL_KEY]} if URL_KEY in change.set else {}),
        **({"enabled": change.enabled} if change.enabled is not None else {}),
        **({"permissions": dict(change.permissions)} if change.permissions else {}),
        "warnings": warnings,
    }


_PLACES = {"keyring": "in the system's keyring", "file": "in a file that you alone can read"}


def _told(done: ChangeResult) -> str:
    lines = [f"{SECTION}, account {done.account}: {', '.join(done.changed) or 'nothing'} changed in {done.path}"]
    if SECRET_KEY in done.changed and done.storage:
        lines.append(f"the token is kept {_PLACES[done.storage]}")
    lines.append(f"see that it works: kosmo integrations:doctor {SECTION}")
    return "\n".join(lines)
