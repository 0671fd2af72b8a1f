"""``integrations:configure``: set tokens, URL, permissions and accounts from flags, JSON input or a dialog."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.cli import options, output
from kosmolua.cli.providers import check_provider
from kosmolua.errors import KosmoError, UsageError
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.token import TOKENS_PAGE
from kosmolua.settings import config, credentials
from kosmolua.settings.config import DEFAULT_ACCOUNT, VERDICTS, Storage, Verdict, account_flag
from kosmolua.settings.edit import HEADER_KEY, SECRET_KEY, SECTION, URL_KEY, Change, ChangeResult, Scope, apply
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    import argparse

_MAX_INPUT = 1 << 20
_ON_COMMAND_LINE = (
    "a token or header on the command line is visible to other users of this machine and stays in the shell history; "
    "use --stdin-json, or no flags to be asked for it"
)


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    check_provider(parsed.provider)
    change = _change(parsed)
    secret = (f"{SECRET_KEY}=", HEADER_KEY)
    warnings = [_ON_COMMAND_LINE] if any(text.startswith(secret) for text in parsed.set) else []
    for warning in warnings:
        print(f"kosmo: {warning}", file=sys.stderr)
    done = apply(change, os.environ)
    if parsed.json:
        output.show_json(_answer(done, change, warnings))
        return 0
    output.write_text(safe(_summary(done, change)) + "\n")
    if SECRET_KEY in change.set and sys.stdin.isatty() and sys.stderr.isatty():
        output.write_text(safe(_checked_online(done.account)) + "\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    made = options.parser(
        command,
        "Configure a provider. Without flags on a terminal the command asks; the token is not shown as you type.",
        f"""kosmo {command} {SECTION} --enable --read allow --write ask
  printf '{{"set": {{"api_key": "%s"}}}}' "$TOKEN" | kosmo {command} {SECTION} --stdin-json --json""",
    )
    made.add_argument(
        "provider", nargs="?", default=SECTION, metavar="PROVIDER", help=f"provider to configure (default: {SECTION})"
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set api_key (the token), url, or header.NAME (sent with each request to the API); repeatable",
    )
    made.add_argument("--unset", action="append", default=[], metavar="KEY", help="remove a value; repeatable")
    made.add_argument("--stdin-json", action="store_true", help="read the changes as a JSON object from standard input")
    enabling = made.add_mutually_exclusive_group()
    enabling.add_argument("--enable", dest="enabled", action="store_true", default=None, help="allow calls")
    enabling.add_argument("--disable", dest="enabled", action="store_false", help="refuse all calls")
    made.add_argument("--read", choices=VERDICTS, help="set the policy for reads")
    made.add_argument("--write", choices=VERDICTS, help="set the policy for writes")
    made.add_argument("--permissions", metavar="LIST", help="set both policies, such as read:allow,write:ask")
    made.add_argument("--account", metavar="NAME", help=f"configure this account (default: {DEFAULT_ACCOUNT})")
    made.add_argument("--remove", action="store_true", help="remove the account and its token")
    made.add_argument(
        "--storage", choices=("keyring", "file"), help="choose where to store the token; moves a stored one"
    )
    scope = made.add_mutually_exclusive_group()
    scope.add_argument(
        "--global",
        dest="scope",
        action="store_const",
        const="global",
        help="change the settings of this user (default)",
    )
    scope.add_argument(
        "--project",
        dest="scope",
        action="store_const",
        const="project",
        help="change the settings of this directory: .kosmo/config.toml",
    )
    options.add_json(made)
    return made


# Input ------------------------------------------------------------------------------------------------------------


class _Input(Struct, forbid_unknown_fields=True):
    """The JSON object on standard input."""

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
    """The change given by flags, JSON input or the dialog. Flags override the input."""
    read = _from_stdin() if parsed.stdin_json else _Input()
    given = msgspec.structs.replace(
        read,
        account=parsed.account or read.account,
        set={**read.credentials, **read.set, **_pairs(parsed.set)},
        unset=[*read.unset, *parsed.unset],
        enabled=read.enabled if parsed.enabled is None else parsed.enabled,
        permissions={**_checked(read.permissions), **_permissions(parsed)},
        scope=parsed.scope or read.scope,
        storage=parsed.storage or read.storage,
        remove=parsed.remove or read.remove,
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
            raise UsageError("--set: expected KEY=VALUE; the value is not shown, since it may be a token")
        if not value:
            raise UsageError(
                f"--set: {key} is empty",
                hint=f"check that the shell variable is set; to remove the value: --unset {key}",
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
                f"permissions: expected read or write with allow, ask or deny, got {access}:{verdict}",
                hint="for example: --permissions read:allow,write:ask",
            )
    return permissions


def _from_stdin() -> _Input:
    data = sys.stdin.buffer.read(_MAX_INPUT)
    try:
        return msgspec.json.decode(data, type=_Input)
    except msgspec.ValidationError as error:
        raise UsageError(f"standard input: {error}", hint=_INPUT_HINT) from None
    except msgspec.DecodeError:  # the exception's message could contain part of a token
        raise UsageError("standard input is not valid JSON", hint=_INPUT_HINT) from None


_INPUT_HINT = (
    'for example: {"account": "work", "set": {"api_key": "…"}, "enabled": true, "permissions": {"write": "ask"}}; '
    "other keys: unset, scope, storage, remove"
)


# Dialog -----------------------------------------------------------------------------------------------------------


def _ask(given: _Input) -> _Input:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing to configure, and no terminal to ask on",
            hint=f"pass --set, --enable, --read or --write: kosmo integrations:configure {SECTION} --help",
        )
    from getpass import getpass

    from kosmolua.manual.reference import FIELDS

    found: dict[str, str] = {}
    is_first = _is_first(given.account)
    if is_first:
        print(f"Get an API token: {TOKENS_PAGE}", file=sys.stderr)
    try:
        for item in FIELDS:
            text = f"{item['label']}{_without_answer(item, is_first=is_first)}: "
            answer = getpass(text) if item["type"] == "secret" else _line(text)
            if answer.strip():
                found[item["key"]] = answer.strip()
        write = _choice("Policy for writes, which may cost money: allow, ask or deny (Enter to keep): ")
    except EOFError:
        raise UsageError("no answers were given; nothing was changed") from None
    permissions: dict[str, Verdict] = {"write": write} if write else {}
    if not found and not permissions:
        raise UsageError("no answers were given; nothing was changed")
    return msgspec.structs.replace(given, set=found, permissions=permissions, enabled=True)


def _is_first(account: str) -> bool:
    """Whether the account has no token yet."""
    try:
        credentials.find(os.environ, config.load(os.environ).accounts, account)
    except KosmoError:
        return True
    return False


def _without_answer(item: Mapping[str, Any], *, is_first: bool) -> str:
    """What pressing Enter without an answer does, in words."""
    if not is_first:
        return " (Enter to keep)"
    return "" if item["required"] else f" (Enter for {SERVER})" if item["key"] == URL_KEY else " (Enter for none)"


def _checked_online(account: str) -> str:
    """A line that says whether the API accepts the new token."""
    from kosmolua.cli.host import host_of

    named = options.Options()
    named.account = account
    try:
        with host_of(named, isolation="none") as host:
            found = mapping(host.call("get_account"))
    except KosmoError as error:
        refused = error.code == "not_authenticated"
        return f"the API refused the token: {error.message}" if refused else f"not checked: {error.message}"
    return f"checked: the token belongs to {found.get('username')}"


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
                return verdict  # type: ignore[return-value]  # checked: one of the three verdicts
        if not answer:
            return None
        print("expected allow, ask or deny", file=sys.stderr)


# Output -----------------------------------------------------------------------------------------------------------


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


_PLACES = {"keyring": "in the system keyring", "file": "in a file that only you can read"}


def _summary(done: ChangeResult, change: Change) -> str:
    if change.remove:
        return f"{SECTION}: account {done.account} and its token removed from {done.path}"
    removed = [name for name in done.changed if name in change.unset]
    changed = [name for name in done.changed if name not in change.unset]
    parts = [f"{', '.join(changed) or 'nothing'} changed"] if changed or not removed else []
    parts += [f"{', '.join(removed)} removed"] if removed else []
    lines = [f"{SECTION}, account {done.account}: {', '.join(parts)} in {done.path}"]
    if SECRET_KEY in done.changed and done.storage:
        lines.append(f"the token is stored {_PLACES[done.storage]}")
    lines.append(f"to check that it works: kosmo integrations:doctor {SECTION}{account_flag(done.account)}")
    return "\n".join(lines)
