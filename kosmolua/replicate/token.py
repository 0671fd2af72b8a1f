"""What a token of the API can be."""

from __future__ import annotations

from kosmolua.errors import CredentialError


def checked_token(token: str) -> str:
    """The token without space around it. Raises a `CredentialError`, which does not show it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialError(
            "the API token is empty or holds characters that no token has (it is not shown here)",
            hint="copy it again from https://replicate.com/account/api-tokens",
        )
    return token


def looks_like_token(text: str) -> bool:
    """Whether it may be one that somebody put in the wrong place, and that no message should repeat."""
    return text.startswith("r8_")
