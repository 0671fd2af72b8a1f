"""Data URLs: a file whose content is in its URL (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from kosmolua.errors import UsageError

_SCHEME = "data:"


def is_inline(url: str) -> bool:
    return url[: len(_SCHEME)].lower() == _SCHEME


def content_of(url: str, *, function: str) -> tuple[str, bytes]:
    """The MIME type and the content of a data URL. Raises a `UsageError` if it is malformed."""
    head, comma, body = url[len(_SCHEME) :].partition(",")
    kind, *options = head.split(";")
    if not comma:
        raise UsageError(f"{function}: the data URL has no comma, so no content", hint="check that it was not cut")
    content = unquote_to_bytes(body)
    if "base64" not in options:
        return kind, content
    try:
        return kind, base64.b64decode(content, validate=True)
    except binascii.Error:
        raise UsageError(f"{function}: invalid Base64 in the data URL", hint="check that it was not cut") from None
