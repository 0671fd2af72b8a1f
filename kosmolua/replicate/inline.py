"""Data URLs: a file whose content is in its URL (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from kosmolua.errors import UsageError

MAX_INLINE = 16 * 1024 * 1024  # characters of a data URL
_SCHEME = "data:"
_MAX_ENCODED = 1_000_000  # percent-encoded bytes, each of which takes 0.2 us
_MAX_HEAD = 1000  # characters of the MIME type and parameters
_PIECE = 1 << 16  # characters to decode at once: unquote_to_bytes takes 60 bytes for each percent sign
_CUT = re.compile("%[^%]?$")


def is_inline(url: str) -> bool:
    return url[: len(_SCHEME)].lower() == _SCHEME


def content_of(url: str, *, function: str) -> tuple[str, bytes]:
    """The MIME type and the content of a data URL. Raises a `UsageError` if it is malformed."""
    if len(url) > MAX_INLINE:
        raise UsageError(
            f"{function}: expected a data URL of at most {MAX_INLINE} characters, got {len(url)}",
            hint="upload the file and use its URL: replicate.create_file",
        )
    if url.count("%") > _MAX_ENCODED:
        raise UsageError(
            f"{function}: the data URL has more than {_MAX_ENCODED} percent-encoded bytes", hint="encode it as Base64"
        )
    comma = url.find(",", 0, _MAX_HEAD)
    head, body = url[len(_SCHEME) : comma], url[comma + 1 :]
    kind, *options = head.split(";")
    if comma < 0:
        raise UsageError(
            f"{function}: the data URL has no comma and so no content", hint="check that the URL is complete"
        )
    content = _unquoted(body)
    if "base64" not in options:
        return kind, content
    try:
        return kind, base64.b64decode(content, validate=True)
    except binascii.Error:
        raise UsageError(f"{function}: invalid Base64 in the data URL", hint="check that the URL is complete") from None


def _unquoted(text: str) -> bytes:
    if "%" not in text:
        return text.encode()
    found, at = bytearray(), 0
    while at < len(text):
        piece = text[at : at + _PIECE]
        cut = _CUT.search(piece)
        if cut and cut.start() and at + _PIECE < len(text):  # between a percent sign and its digits
            piece = piece[: cut.start()]
        found += unquote_to_bytes(piece)
        at += len(piece)
    return bytes(found)
