"""Settings of a run: defaults < environment < flags, and for each value where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from kosmolua.replicate.catalogue import SERVER

Verdict = Literal["allow", "ask", "deny"]
VERDICTS = ("allow", "ask", "deny")

URL_VARIABLE = "REPLICATE_URL"


class Value(Struct, frozen=True):
    """A setting and its origin, in words a person can act on: "default", "REPLICATE_URL", "--write"."""

    value: str
    origin: str


class Settings(Struct, frozen=True, kw_only=True):
    url: Value
    read: Value
    write: Value


def load(
    environment: Mapping[str, str],
    *,
    url: Value | None = None,
    read: str | None = None,
    write: str | None = None,
    defaults: Settings | None = None,
) -> Settings:
    """The settings in force. ``url``, ``read`` and ``write`` are what flags said, None where they said nothing."""
    defaults = defaults or DEFAULTS
    found = environment.get(URL_VARIABLE, "").strip()
    return Settings(
        url=url or (Value(found, URL_VARIABLE) if found else defaults.url),
        read=Value(read, "--read") if read else defaults.read,
        write=Value(write, "--write") if write else defaults.write,
    )


DEFAULTS = Settings(
    url=Value(SERVER, "default"),
    read=Value("allow", "default"),
    write=Value("ask", "default"),
)
