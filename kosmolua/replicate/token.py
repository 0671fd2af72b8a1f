"""Checks API tokens."""

from __future__ import annotations

import re

from kosmolua.errors import CredentialError

TOKENS_PAGE = "https://replicate.com/account/api-tokens"
_QUOTES = frozenset("\"'`\u201c\u201d\u2018\u2019")


def checked_token(token: str) -> str:
    """The token without surrounding space. Raises a `CredentialError`, which does not show the token."""
    token = token.strip()
    if token[:1] in _QUOTES or token[-1:] in _QUOTES:
        raise CredentialError(
            "the API token has quotes around it (it is not shown here)",
            hint="remove the quotes; in a file for docker --env-file they are part of the value",
        )
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialError(
            "the API token is empty or has invalid characters (it is not shown here)",
            hint=f"copy it again from {TOKENS_PAGE}",
        )
    return token


def quoted(text: str, most: int = 100) -> str:
    """A word of the command line for a message, hidden if it may contain a token."""
    return "(hidden: it looks like a token)" if "r8_" in text else repr(text[:most])


def looks_like_token(text: str) -> bool:
    """Whether a text may be a misplaced token, which no message should repeat."""
    return text.startswith("r8_")


HIDDEN = "[hidden]"
_SECRET = re.compile(r"r8_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9+/=]{20,}|hf_[A-Za-z0-9]{20,}")
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/?#@\"'<>]+@", re.IGNORECASE)


def hidden(text: str) -> str:
    """The text without anything that has the form of a secret: tokens, signing secrets, user and password of a URL."""
    return _SECRET.sub(HIDDEN, without_user_info(text))


def without_user_info(text: str) -> str:
    """The text without the user and password in URLs."""
    return _USER_INFO.sub(rf"\1{HIDDEN}@", text) if "@" in text and "://" in text else text
