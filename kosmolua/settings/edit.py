"""Applies configuration changes: tokens go to their store, everything else to a config.toml.

Keeps the file's comments, order and unknown keys. Concurrent changes are not lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate import catalogue
from kosmolua.replicate.token import checked_token, looks_like_token
from kosmolua.settings import config, credentials, headers, paths, trust
from kosmolua.settings.atomic import rewrite
from kosmolua.settings.config import DEFAULT_ACCOUNT, Account, Rule, Storage, Verdict

Scope = Literal["global", "project"]
Keys = tuple[str, ...]

SECRET_KEY, URL_KEY = "api_key", "url"
KEYS = (SECRET_KEY, URL_KEY)
HEADER_KEY = "header."  # prefix of the name of an extra header, whose value is stored like the token
SECTION = catalogue.PROVIDER
_ACCOUNT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class Change(Struct, frozen=True, kw_only=True):
    """A requested change. ``set`` and ``unset`` are by key; ``storage`` moves the account's token to that store.

    ``remove`` removes the account with everything stored for it.
    """

    account: str = DEFAULT_ACCOUNT
    set: Mapping[str, str] = {}
    unset: tuple[str, ...] = ()
    enabled: bool | None = None
    permissions: Mapping[str, Verdict] = {}
    scope: Scope = "global"
    storage: Storage | None = None
    remove: bool = False


class ChangeResult(Struct, frozen=True, kw_only=True):
    """The names of the changed values, and the changed file. ``storage`` is where the account's token is stored now."""

    account: str
    changed: tuple[str, ...]
    scope: Scope
    path: str
    storage: Storage | None


def apply(change: Change, environment: Mapping[str, str], directory: str | None = None) -> ChangeResult:
    """Check everything, then change the store, then the file. Raises a `KosmoError`."""
    _check(change)
    token = checked_token(change.set[SECRET_KEY]) if SECRET_KEY in change.set else None
    url = _checked_url(change.set[URL_KEY]) if URL_KEY in change.set else None
    own_path = paths.global_file(environment)
    path = own_path if change.scope == "global" else _project_path(directory)
    own = config.read_file(own_path)
    known = own.provider.accounts if own else {}
    if (change.remove or change.storage) and change.account not in known and token is None and not _has_headers(change):
        raise _not_stored(change, known)
    account, moved = _store(change, known.get(change.account, Account()), token, environment)

    edits: list[tuple[Keys, Any]] = [
        *_account_edits(change, account, moved=moved),
        *_header_edits(change, known.get(change.account, Account()), environment),
    ]
    rest: list[tuple[Keys, Any]] = [
        *([(_url_keys(change), url)] if url is not None or URL_KEY in change.unset else []),
        *([((SECTION, "enabled"), change.enabled)] if change.enabled is not None else []),
        *(((SECTION, "permissions", access), verdict) for access, verdict in change.permissions.items()),
    ]
    if path == own_path:
        edits, rest = [*edits, *rest], []
    _edit(own_path, edits)
    if rest:
        _edit_project(path, rest, environment)
    return ChangeResult(
        account=change.account,
        changed=_changed_names(change, moved=moved),
        scope=change.scope,
        path=path,
        storage=account.storage,
    )


# Checking ---------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    for key in (*change.set, *change.unset):
        if key.startswith(HEADER_KEY):
            _check_header(key, change.set.get(key))
        elif key not in KEYS:
            shown = "(not shown: looks like a token)" if looks_like_token(key) else repr(key)
            raise UsageError(
                f"{SECTION} has no field {shown}; expected {', '.join(KEYS)} or {HEADER_KEY}NAME",
                hint=f"list the fields: kosmo integrations:fields {SECTION}",
            )
    both = set(change.set) & set(change.unset)
    if both:
        raise UsageError(f"cannot set and unset {both.pop()} in one command")
    if change.remove and (change.set or change.storage):
        raise UsageError("cannot remove and change an account in one command")
    check_account(change.account)


def _check_header(key: str, value: str | None) -> None:
    name = key.removeprefix(HEADER_KEY)
    problem = headers.name_problem(name) or (headers.value_problem(value) if value is not None else None)
    if problem:
        raise UsageError(f"{HEADER_KEY}{name[:100]}: {problem}", hint="for example: header.cf-aig-authorization")


def check_account(name: str) -> None:
    """Raise a `UsageError` for an account name that is not a valid Lua name, or is the name of a function."""
    if looks_like_token(name):
        raise UsageError(
            "the account name looks like a token (not shown)", hint="choose a name, such as: --account work"
        )
    if not _ACCOUNT_NAME.fullmatch(name):
        raise UsageError(
            f"expected a letter, then letters, digits, _ and - for an account name; got {name[:100]!r}",
            hint="for example: --account work",
        )
    if catalogue.find(name):
        raise UsageError(f"account name {name!r} is reserved: it is the name of a function")


def _checked_url(url: str) -> str:
    from kosmolua.replicate.urls import checked_url

    try:
        # before each request, the client checks whether the token may be sent to the URL
        checked_url(url, insecure_http=True, origin=URL_KEY)
    except ConfigurationError as error:
        raise UsageError(error.message, hint=f"for example: --set url={catalogue.SERVER}") from None
    return url.strip()


def _not_stored(change: Change, known: Mapping[str, Account]) -> Exception:
    if change.account != DEFAULT_ACCOUNT:
        return credentials.unknown_account(change.account, known)
    return UsageError(
        "nothing is stored for the default account",
        hint=f"store its token: kosmo integrations:configure {SECTION}",
    )


# Tokens -----------------------------------------------------------------------------------------------------------


def _store(change: Change, account: Account, token: str | None, environment: Mapping[str, str]) -> tuple[Account, bool]:
    """Store, move or remove the token. Returns the changed account, and whether its token changed."""
    old = credentials.open_store(environment, account.storage, account.backend) if account.storage else None
    if change.remove or SECRET_KEY in change.unset:
        if old:
            old.remove(change.account)
        return msgspec.structs.replace(account, storage=None, backend=None), old is not None
    if token is None and change.storage not in (None, account.storage):
        token = old.get(change.account) if old else None
        if token is None and not _has_headers(change):
            raise UsageError(
                "no stored token to move", hint="enter one: run the command without flags, or with --stdin-json"
            )
    if token is None:
        return account, False
    new = credentials.open_store(environment, change.storage or account.storage, account.backend)
    new.set(change.account, token)
    if old and old.name != new.name:
        old.remove(change.account)
    return msgspec.structs.replace(account, storage=new.name, backend=new.backend), True


def _account_edits(change: Change, account: Account, *, moved: bool) -> list[tuple[Keys, Any]]:
    keys = (SECTION, "accounts", change.account)
    if change.remove:
        return [(keys, None)]
    if moved:
        return [((*keys, "storage"), account.storage), ((*keys, "backend"), account.backend)]
    return []


def _has_headers(change: Change) -> bool:
    return any(key.startswith(HEADER_KEY) for key in change.set)


def _header_edits(change: Change, account: Account, environment: Mapping[str, str]) -> list[tuple[Keys, Any]]:
    """Store the values of extra headers, or remove them. Returns their entries in the file."""
    given = {
        key.removeprefix(HEADER_KEY).lower(): value for key, value in change.set.items() if key.startswith(HEADER_KEY)
    }
    gone = {key.removeprefix(HEADER_KEY).lower() for key in change.unset if key.startswith(HEADER_KEY)}
    edits: list[tuple[Keys, Any]] = []
    for name, source in account.headers.items():
        if change.remove or name.lower() in {*gone, *given}:
            if isinstance(source, headers.Source) and source.stored:
                store = credentials.open_store(environment, source.stored, account.backend)
                store.remove(credentials.header_entry(change.account, name))
            edits.append(((SECTION, "accounts", change.account, "headers", name), None))
    for name, value in given.items():
        store = credentials.open_store(environment, change.storage or account.storage, account.backend)
        store.set(credentials.header_entry(change.account, name), value)
        edits.append(((SECTION, "accounts", change.account, "headers", name, "stored"), store.name))
    return [] if change.remove else edits


def _url_keys(change: Change) -> Keys:
    if change.account == DEFAULT_ACCOUNT or change.scope == "project":
        return (SECTION, "url")
    return (SECTION, "accounts", change.account, "url")


def _changed_names(change: Change, *, moved: bool) -> tuple[str, ...]:
    return (
        *(("account",) if change.remove else ()),
        *((SECRET_KEY,) if moved and not change.remove else ()),
        *((URL_KEY,) if URL_KEY in (*change.set, *change.unset) else ()),
        *(key for key in (*change.set, *change.unset) if key.startswith(HEADER_KEY)),
        *(("enabled",) if change.enabled is not None else ()),
        *(f"permissions.{access}" for access in change.permissions),
    )


def add_rule(rule: Rule, environment: Mapping[str, str]) -> str:
    """Write a rule into the global file. Returns its path."""
    path = paths.global_file(environment)
    rewrite(path, lambda content: with_rule(path, content, rule))
    return path


def with_rule(path: str, content: bytes, rule: Rule) -> bytes:
    """The TOML with the rule appended. Raises a `ConfigurationError` if anything else would change."""
    import tomlkit

    before = config.parse(path, content).provider
    if rule in before.rules:
        return content
    written = tomlkit.dumps({SECTION: {"rules": [msgspec.to_builtins(rule)]}})
    new = content + (b"\n" if content and not content.endswith(b"\n") else b"") + b"\n" + written.encode()
    try:
        after = config.parse(path, new).provider
    except ConfigurationError:
        after = None
    if after is None or after != msgspec.structs.replace(before, rules=[*before.rules, rule]):
        raise ConfigurationError(
            f"cannot add a rule to {path} without changing other parts of it; nothing was changed",
            hint=f"add it by hand: {' '.join(written.split())}",
        )
    return new


# Files ------------------------------------------------------------------------------------------------------------


def _project_path(directory: str | None) -> str:
    here = directory or os.getcwd()
    return paths.project_file(here) or os.path.join(here, paths.PROJECT_FILE)


def _edit_project(path: str, edits: list[tuple[Keys, Any]], environment: Mapping[str, str]) -> None:
    """Edit the project file. If the file was trusted or new, trust the result, since the user made the change."""
    before = config.read_file(path)
    trusted = before is None or trust.is_trusted(environment, path, before.content)
    _edit(path, edits)
    after = config.read_file(path)
    if trusted and after:
        trust.trust(environment, path, after.content)


def _edit(path: str, edits: list[tuple[Keys, Any]]) -> None:
    if edits:
        rewrite(path, lambda content: edited(path, content, edits))


def edited(path: str, content: bytes, edits: list[tuple[Keys, Any]]) -> bytes:
    """The TOML with these values set (None removes a key), and nothing else changed."""
    import tomllib

    import tomlkit

    config.parse(path, content)
    document = tomlkit.parse(content.decode())
    expected = tomllib.loads(content.decode())
    for keys, value in edits:
        for table, make in ((document, tomlkit.table), (expected, dict)):
            _put(table, keys, value, make)
    written = tomlkit.dumps(document)
    if _without_empty(tomllib.loads(written)) != _without_empty(expected):
        lines = "; ".join(f"{tomlkit.key(keys).as_string()} = {_toml(value)}" for keys, value in edits)
        raise ConfigurationError(
            f"cannot change {path} without changing other parts of it; nothing was changed",
            hint=f"change it by hand: {lines}",
        )
    return written.encode()


def _without_empty(table: Any) -> Any:
    """The table without empty tables, which can be omitted from the file."""
    if not isinstance(table, dict):
        return table
    pruned = {key: _without_empty(value) for key, value in table.items()}
    return {key: value for key, value in pruned.items() if value != {}}


def _toml(value: Any) -> str:
    import tomlkit

    return "…" if value is None else tomlkit.item(value).as_string()


def _put(table: Any, keys: Keys, value: Any, make: Callable[[], Any]) -> None:
    for key in keys[:-1]:
        if key not in table:
            if value is None:
                return
            table[key] = make()
        table = table[key]
    if value is not None:
        table[keys[-1]] = value
    elif keys[-1] in table:
        del table[keys[-1]]
