"""Extra headers of an account, for a gateway in front of the API. Values are text, in the environment, or stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

MAX_HEADERS = 32  # of an account
MAX_VALUE = 8192  # characters; most servers accept this many in all headers together
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # a token of RFC 9110, section 5.6.2
_SECRET_NAME = re.compile("auth|token|key|secret|password|credential", re.IGNORECASE)
_VALUE = re.compile(r"[\t -~]+")
# Headers that the client sets, or that describe the connection itself (RFC 9110, section 7.6.1).
_OWN = frozenset(
    ("accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type",
     "cookie", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade", "user-agent")
)  # fmt: skip


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a value comes from: the environment variable ``env``, or the keyring or the file of tokens."""

    env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = None
    stored: Literal["keyring", "file"] | None = None


Headers = dict[str, str | Source]


def check(headers: Mapping[str, str | Source], where: str) -> None:
    """Raise a ValidationError for an invalid header. The error does not show its value."""
    if len(headers) > MAX_HEADERS:
        raise msgspec.ValidationError(f"expected at most {MAX_HEADERS} headers, got {len(headers)} - at `{where}`")
    seen = set[str]()
    for name, written in headers.items():
        place = f"`{where}.{name[:100]}`"
        if problem := name_problem(name):
            raise msgspec.ValidationError(f"{problem} - at {place}")
        if name.lower() in seen:
            raise msgspec.ValidationError(f"duplicate header - at {place}")
        seen.add(name.lower())
        if isinstance(written, Source) and (written.env is None) == (written.stored is None):
            raise msgspec.ValidationError(
                f'expected text, {{ env = "VARIABLE" }} or {{ stored = "keyring" }} - at {place}'
            )
        if isinstance(written, str) and (problem := value_problem(written)):
            raise msgspec.ValidationError(f"{problem} - at {place}")


def is_secret_name(name: str) -> bool:
    """Whether a header's name indicates that its value is a secret, even if a file contains the value as text."""
    return _SECRET_NAME.search(name) is not None


def name_problem(name: str) -> str | None:
    """What is wrong with the name of an extra header."""
    if not _NAME.fullmatch(name):
        return "expected the name of a header: letters, digits and -"
    return "kosmolua sets this header itself, or it describes the connection" if name.lower() in _reserved() else None


def value_problem(value: str) -> str | None:
    """What is wrong with a header's value, without showing it."""
    if not _VALUE.fullmatch(value) or value != value.strip():
        return "expected a header's value: printable ASCII on one line (the value is not shown)"
    return f"expected at most {MAX_VALUE} characters, got {len(value)}" if len(value) > MAX_VALUE else None


@cache
def _reserved() -> frozenset[str]:
    from kosmolua.replicate.catalogue import OPERATIONS, TRANSFERS

    given = (parameter.header for each in (*OPERATIONS, *TRANSFERS) for parameter in each.parameters)
    return _OWN | {name.lower() for name in given if name}
