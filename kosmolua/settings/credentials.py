"""The API token: where it is found and stored, and a wrapper that keeps it out of messages and logs.

The environment comes first, then the store that the account's section names: the system keyring, or a file with mode
600.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from kosmolua.errors import ConfigurationError, CredentialError
from kosmolua.replicate.token import checked_token
from kosmolua.replicate.wire import ExtraHeader
from kosmolua.settings import headers, paths
from kosmolua.settings.atomic import rewrite
from kosmolua.settings.config import DEFAULT_ACCOUNT, Account, Storage

VARIABLES = ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN")
SERVICE = "kosmolua"
# Prefix of the backends that ship with keyring. Loading one by name avoids a search through all installed packages,
# which takes more time than the rest of a call.
_NAMED = "keyring.backends."
_WORTHY = 1.0  # the lowest priority that keyring recommends; backends below it store plain text

T = TypeVar("T")


class Secret:
    """A token. Only `reveal` returns its text; it is called to build the Authorization header."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret(origin={self.origin!r})"


class Store(Protocol):
    """Stores tokens by account. Each method raises a `CredentialError` if the store cannot be used."""

    @property
    def name(self) -> Storage: ...

    @property
    def backend(self) -> str | None:
        """The name of the keyring backend's class; None for other stores."""

    def get(self, account: str) -> str | None: ...

    def set(self, account: str, token: str) -> None: ...

    def remove(self, account: str) -> None:
        """Remove the token of an account, if it is stored."""


def find(
    environment: Mapping[str, str],
    accounts: Mapping[str, Account] | None = None,
    account: str = DEFAULT_ACCOUNT,
) -> Secret:
    """The token of an account, from its store; for the default account, from `VARIABLES` first."""
    known = accounts or {}
    secret = from_environment(environment) if account == DEFAULT_ACCOUNT else None
    if secret:
        return secret
    if account not in known and account != DEFAULT_ACCOUNT:
        raise unknown_account(account, known)
    section = known.get(account, Account())
    token = open_store(environment, section.storage, section.backend).get(account) if section.storage else None
    if token:
        return Secret(checked_token(token), section.storage or "")
    raise _missing(account)


def from_environment(environment: Mapping[str, str]) -> Secret | None:
    for variable in VARIABLES:
        value = environment.get(variable, "").strip()
        if value:
            return Secret(value, variable)
    return None


def headers_of(
    environment: Mapping[str, str], accounts: Mapping[str, Account], account: str
) -> tuple[ExtraHeader, ...]:
    """The extra headers of an account. Raises a `ConfigurationError` for one whose value is missing or invalid."""
    section = accounts.get(account)
    if section is None or not section.headers:
        return ()
    return tuple(_header(environment, section, account, name) for name in section.headers)


def _header(environment: Mapping[str, str], section: Account, account: str, name: str) -> ExtraHeader:
    source = section.headers[name]
    if isinstance(source, str):
        return ExtraHeader(name, source, secret=headers.is_secret_name(name))
    if source.env:
        value = environment.get(source.env, "").strip()
        place, hint = source.env, f"set it: export {source.env}=…"
    else:
        value = open_store(environment, source.stored, section.backend).get(header_entry(account, name)) or ""
        place = f"the {source.stored} store"
        hint = f"store it: kosmo integrations:configure replicate --account {_shell_word(account)} --stdin-json"
    problem = headers.value_problem(value) if value else f"no value in {place}"
    if problem:
        raise ConfigurationError(f"account {account}, header {name}: {problem}", hint=hint)
    return ExtraHeader(name, value)


def header_entry(account: str, name: str) -> str:
    """The name under which a store has a header's value. It has a colon, so that it differs from account names."""
    return f"{account}:header:{name.lower()}"


def unknown_account(account: str, known: Mapping[str, Account]) -> ConfigurationError:
    from kosmolua.replicate.nearest import nearest

    names = sorted({DEFAULT_ACCOUNT, *known})
    near = nearest(account, names)
    return ConfigurationError(
        f"unknown account {account!r}; " + (f"did you mean {near[0]}?" if near else f"found {', '.join(names)}"),
        hint=f"configure it: kosmo integrations:configure replicate --account {_shell_word(account)}",
    )


def _shell_word(text: str) -> str:
    import shlex

    return shlex.quote(text[:100])


def _missing(account: str) -> CredentialError:
    if account == DEFAULT_ACCOUNT:
        return CredentialError(
            "no API token in REPLICATE_API_KEY or REPLICATE_API_TOKEN, and none stored",
            hint="store one: kosmo integrations:configure replicate, with a token from "
            "https://replicate.com/account/api-tokens; or run without a token: --emulate",
        )
    return CredentialError(
        f"account {account!r} has no API token",
        hint=f"store one: kosmo integrations:configure replicate --account {_shell_word(account)}",
    )


# Stores -----------------------------------------------------------------------------------------------------------


def open_store(environment: Mapping[str, str], storage: Storage | None = None, backend: str | None = None) -> Store:
    """The store of that kind; by default the keyring, or the file if there is no keyring."""
    if storage == "file":
        return FileStore(environment)
    found = _keyring(backend)
    if found:
        return KeyringStore(found)
    if storage is None:
        return FileStore(environment)
    raise CredentialError(
        "no keyring available: expected a Secret Service, KWallet or the system keychain",
        hint="log in to a desktop session, store tokens in a file with --storage file, or set REPLICATE_API_KEY",
    )


def keyring_backend() -> str | None:
    """The name of the available keyring backend's class; None if no keyring is available."""
    found = _keyring(None)
    return _class_name(found) if found else None


def _class_name(backend: Any) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _keyring(named: str | None) -> Any:
    """A recommended keyring backend, or None."""
    import keyring.core

    try:
        ours = named is not None and named.startswith(_NAMED)
        found = keyring.core.load_keyring(named) if ours and named else keyring.get_keyring()
    except Exception:  # noqa: BLE001 - installed backends may raise anything; the keyring is then unusable
        return None
    return found if found.priority >= _WORTHY else None


class KeyringStore:
    """The system keyring: Secret Service (GNOME, KeePassXC), KWallet or the macOS keychain."""

    name: Literal["keyring"] = "keyring"

    def __init__(self, backend: Any) -> None:
        self.backend: str | None = _class_name(backend)
        self._keyring = backend

    def get(self, account: str) -> str | None:
        found: str | None = self._ask(lambda: self._keyring.get_password(SERVICE, _entry(account)))
        return found

    def set(self, account: str, token: str) -> None:
        self._ask(lambda: self._keyring.set_password(SERVICE, _entry(account), token))
        if self.get(account) != token:
            raise CredentialError("the keyring did not store the token", hint="store it in a file: --storage file")

    def remove(self, account: str) -> None:
        if self.get(account) is not None:
            self._ask(lambda: self._keyring.delete_password(SERVICE, _entry(account)))

    def _ask(self, action: Callable[[], T]) -> T:
        from keyring.errors import KeyringLocked

        try:
            return action()
        except KeyringLocked:
            raise CredentialError(
                "the keyring is locked",
                hint="unlock it and try again, or set REPLICATE_API_KEY; nothing was changed",
            ) from None
        except Exception as error:  # noqa: BLE001 - backends raise the exceptions of many libraries
            raise CredentialError(
                f"the keyring {self.backend} failed: {str(error) or type(error).__name__}",
                hint="check that the keyring is running and unlocked, or set REPLICATE_API_KEY",
            ) from None


def _entry(account: str) -> str:
    return f"replicate:{account}"


class _Tokens(msgspec.Struct):
    """The content of credentials.json."""

    replicate: dict[str, str] = {}
    version: int = 1


class FileStore:
    """``credentials.json`` next to the configuration, readable by its owner only."""

    name: Literal["file"] = "file"
    backend: str | None = None

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.path = os.path.join(paths.config_directory(environment), "credentials.json")

    def get(self, account: str) -> str | None:
        try:
            with open(self.path, "rb") as file:
                self._check_mode(os.fstat(file.fileno()).st_mode)
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CredentialError(
                f"cannot read {self.path}: {error.strerror}", hint=f"make it readable: chmod 600 {self.path}"
            ) from None
        return self._decode(content).replicate.get(account)

    def set(self, account: str, token: str) -> None:
        self._change(lambda tokens: tokens.__setitem__(account, token))

    def remove(self, account: str) -> None:
        if self.get(account) is not None:
            self._change(lambda tokens: tokens.__delitem__(account))

    def _change(self, edit: Callable[[dict[str, str]], None]) -> None:
        def change(content: bytes) -> bytes:
            tokens = self._decode(content)
            edit(tokens.replicate)
            return msgspec.json.format(msgspec.json.encode(tokens), indent=2) + b"\n"

        rewrite(self.path, change)

    def _decode(self, content: bytes) -> _Tokens:
        try:
            return msgspec.json.decode(content or b"{}", type=_Tokens)
        except msgspec.DecodeError:  # the exception's message could contain a token
            raise CredentialError(
                f"cannot parse {self.path}: expected the JSON that `integrations:configure` writes",
                hint=f"repair it, or move it away: mv {self.path} {self.path}.broken; nothing was changed",
            ) from None

    def _check_mode(self, mode: int) -> None:
        if mode & 0o077:
            raise CredentialError(
                f"{self.path} contains tokens and is readable by other users (mode {mode & 0o777:o}; expected 600)",
                hint=f"restrict it: chmod 600 {self.path}; replace the tokens if others may have read them",
            )
