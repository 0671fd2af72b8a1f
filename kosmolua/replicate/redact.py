"""Removes an account's token from what a server sends: scripts, logs and people never see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, reduce
from typing import Any
from urllib.parse import quote

NOTE = "the answer contained the API token or a secret header, which was removed"
_HIDDEN = "[hidden]"
_SHORTEST_SECRET = 8  # shorter ones may occur in any text
_SHORTEST_TRACE = 4  # the public prefix of a token, and one more character
# Bytes of an answer to search for a token with any characters escaped: an answer that echoes requests is short.
_MAX_ENCODED = 2048
_SCHEME = re.compile(r"^(?:Bearer|Basic|Token) +", re.IGNORECASE)  # before a secret in a header


class Redactor:
    """Removes one token, even if it is JSON-escaped or percent-encoded."""

    def __init__(self, token: str) -> None:
        self._token = token if len(token) >= _SHORTEST_SECRET else ""
        self._plain = self._token.encode()
        # Letters and digits stay as they are in most escaped texts, so that one search finds all the usual forms.
        run = max(re.findall(r"[A-Za-z0-9]+", self._token), key=len, default="")
        self._core = run.encode() if len(run) >= _SHORTEST_SECRET else b""

    def reveals(self, text: str) -> bool:
        return bool(self._token) and self._token in text

    def without(self, value: Any) -> Any:
        """Plain data without the token; for short data such as messages and error details."""
        if not self._token:
            return value
        match value:
            case str():
                return self._text(value)
            case dict():
                return {self.without(name): self.without(item) for name, item in value.items()}
            case list():
                return [self.without(item) for item in value]
        return value

    def body(self, body: bytes) -> bytes:
        """An answer's body without the token; the same object if unchanged."""
        if not self._plain or not (self._is_in(body) or self._may_be_encoded(body)):
            return body
        if len(body) > _MAX_ENCODED:
            return reduce(lambda text, form: text.replace(form, _HIDDEN.encode()), self._usual, body)
        found, count = self._pattern.subn(_HIDDEN.encode(), body)
        return found if count else body

    def written(self, data: bytes) -> bytes:
        """JSON without the token, also in texts that are JSON themselves."""
        again = {form.replace(b"\\", b"\\\\").replace(b'"', b'\\"') for form in self._usual}
        forms = sorted(self._usual | again, key=len, reverse=True)
        return reduce(
            lambda text, form: text.replace(form, _HIDDEN.encode()), forms if self._plain else (), self.body(data)
        )

    def pieces(self, pieces: Iterable[bytes], found: Callable[[], None]) -> Iterator[bytes]:
        """A body in pieces, with the token replaced by as many asterisks.

        ``found`` is called when the body contains the token.
        """
        held = b""
        for piece in pieces:
            text = held + piece if held else piece
            if self._plain and self._plain in text:
                found()
                text = text.replace(self._plain, b"*" * len(self._plain))
            begun = self._begun(text)
            held, text = (text[-begun:], text[:-begun]) if begun else (b"", text)
            if text:
                yield text
        if held:
            yield held

    def _is_in(self, body: bytes) -> bool:
        return self._core in body if self._core else any(form in body for form in self._usual)

    def _text(self, text: str) -> str:
        if self._token[:_SHORTEST_TRACE] not in text:
            return text
        # A long text was truncated, perhaps within the token.
        traces = [f"{self._token[:length]}…" for length in range(len(self._token) - 1, _SHORTEST_TRACE - 1, -1)]
        whole = text.replace(self._token, _HIDDEN)
        return reduce(lambda shown, trace: shown.replace(trace, f"{_HIDDEN}…"), traces, whole)

    def _begun(self, text: bytes) -> int:
        """The number of bytes at the end that may be the start of the token."""
        at = text.find(self._plain[:1], max(0, len(text) - len(self._plain) + 1)) if self._plain else -1
        while at >= 0:
            if self._plain.startswith(text[at:]):
                return len(text) - at
            at = text.find(self._plain[:1], at + 1)
        return 0

    def _may_be_encoded(self, body: bytes) -> bool:
        # Searching for one character is several times as fast as searching for four.
        if len(body) > _MAX_ENCODED:
            return False
        return (b"\\" in body and b"\\u00" in body) or (b"%" in body and self._percent.search(body) is not None)

    @cached_property
    def _percent(self) -> re.Pattern[bytes]:
        """A quick test for an encoded token: its first character or its punctuation, percent-encoded."""
        likely = {self._token[0], *(c for c in self._token if not c.isalnum())}
        return re.compile(f"%(?:{'|'.join(sorted(f'{ord(c):02x}' for c in likely))})".encode(), re.IGNORECASE)

    @cached_property
    def _usual(self) -> set[bytes]:
        """The token as it is, in JSON with and without escaped slashes, and in a URL."""
        import json  # rarely needed

        text = json.dumps(self._token)[1:-1]
        forms = (self._token, text, text.replace("/", "\\/"), quote(self._token, safe=""), quote(self._token))
        return {form.encode() for form in forms}

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        """The token with each character plain, JSON-escaped or percent-encoded."""
        return re.compile(b"".join(map(_forms, self._token)))


class Redactors:
    """Removes several secrets. Has the same methods as a `Redactor`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._each = [Redactor(secret) for secret in secrets]

    def reveals(self, text: str) -> bool:
        return any(each.reveals(text) for each in self._each)

    def without(self, value: Any) -> Any:
        return reduce(lambda found, each: each.without(found), self._each, value)

    def body(self, body: bytes) -> bytes:
        return reduce(lambda found, each: each.body(found), self._each, body)

    def pieces(self, pieces: Iterable[bytes], found: Callable[[], None]) -> Iterator[bytes]:
        for each in self._each:
            pieces = each.pieces(pieces, found)
        return iter(pieces)


AnyRedactor = Redactor | Redactors


def redactor_of(token: str, values: Iterable[str] = ()) -> AnyRedactor:
    """A redactor for the token, and for these values of headers with or without their scheme."""
    secrets = [_SCHEME.sub("", value) for value in values]
    return Redactors([token, *secrets]) if secrets else Redactor(token)


def _forms(character: str) -> bytes:
    code = f"{ord(character):02x}"
    digits = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in code)
    plain = re.escape(character)
    escaped = rf"|\\{plain}" if character in '"\\/' else ""
    return rf"(?:{plain}|\\u00{digits}|%{digits}{escaped})".encode()
