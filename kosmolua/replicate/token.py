"""Checks API tokens."""

from __future__ import annotations

from kosmolua.errors import CredentialError


def checked_token(token: str) -> str:
    """The token without surrounding space. Raises a `CredentialError`, which does not show the token."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialError(
            "the API token is empty or has invalid characters (it is not shown here)",
            hint="copy it again from https://replicate.com/account/api-tokens",
        )
    return token


def looks_like_token(text: str) -> bool:
    """Whether a text may be a misplaced token, which no message should repeat."""
    return text.startswith("r8_")
