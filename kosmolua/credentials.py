"""The API token: where it is looked for, and a wrapper that keeps it out of every text."""

from __future__ import annotations

from collections.abc import Mapping

from kosmolua.errors import ConfigurationError, CredentialError

VARIABLES = ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN")
DEFAULT_ACCOUNT = "default"


class Secret:
    """A token. Nothing shows it but `reveal`, which is called where the Authorization header is made."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret(origin={self.origin!r})"


def find(environment: Mapping[str, str], account: str = DEFAULT_ACCOUNT) -> Secret:
    """The token of an account, from the environment: `VARIABLES`, in their order."""
    if account != DEFAULT_ACCOUNT:
        raise ConfigurationError(
            f"no account is called {account!r}; there is {DEFAULT_ACCOUNT!r}", hint="leave the account out"
        )
    for variable in VARIABLES:
        value = environment.get(variable, "").strip()
        if value:
            return Secret(value, variable)
    raise CredentialError(
        "no API token: expected it in REPLICATE_API_KEY or REPLICATE_API_TOKEN, found neither",
        hint="export REPLICATE_API_KEY=… with a token from https://replicate.com/account/api-tokens, "
        "or try it without one: --emulate",
    )
