"""The environment variables that scripts may read: the named ones, unless one contains a token."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kosmolua.errors import UsageError
from kosmolua.replicate.token import looks_like_token

_SECRETS = ("KOSMO_DATABASE", "KOSMO_MCP_TOKEN")  # a URL with a password, and the token that clients of mcp:serve send


def variables(names: Collection[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The named variables that are set. Raises a `UsageError` for a variable that scripts may not read."""
    if not names:
        return {}
    from kosmolua.settings.credentials import VARIABLES

    tokens = [token for name in VARIABLES if (token := environment.get(name, "").strip())]
    found = {}
    for name in names:
        if not name or "=" in name or "\0" in name:
            raise UsageError(
                f"--allow-env: expected the name of an environment variable, got {name!r}",
                hint="give only the name: --allow-env LANG",
            )
        if name in _SECRETS:
            raise UsageError(
                f"--allow-env {name}: scripts never get a secret of kosmolua",
                hint="copy what the script needs into another variable",
            )
        value = environment.get(name)
        if name in VARIABLES or (value and (looks_like_token(value) or any(token in value for token in tokens))):
            raise UsageError(
                f"--allow-env {name}: scripts never get an API token",
                hint="omit this option: calls of a script are sent with the token, without showing it to the script",
            )
        if value is not None:
            found[name] = value
    return found
