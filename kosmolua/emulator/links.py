"""Translates between the API's URLs and those that a program sees through a proxy or a cassette."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

PLACE = "/recorded/"
MOST = 100_000  # the most links in memory
_URL = re.compile(r"https?://[^\s\"<>]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Links:
    """Replaces URLs below ``base``, the real API, with URLs of the proxy, and URLs of files and streams with paths.

    File URLs are in the ``output`` of an answer, and stream URLs in its ``urls``. With ``fixed`` only URLs that were
    added are replaced. A URL that is not ``allowed`` remains unchanged.
    """

    def __init__(self, base: str = "", *, fixed: bool = False, allowed: Callable[[str], bool] = lambda _: True) -> None:
        self._base, self._fixed, self._allowed = base.rstrip("/"), fixed, allowed
        self._known: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, url: str) -> None:
        if url not in self._numbers and len(self._known) < MOST:
            self._numbers[url] = len(self._known)
            self._known.append(url)

    def find(self, path: str) -> str | None:
        """The real URL for a path of the proxy."""
        number = path.removeprefix(PLACE).partition("/")[0]
        known = path.startswith(PLACE) and number.isdecimal() and int(number) < len(self._known)
        return self._known[int(number)] if known else None

    def api(self, path: str) -> str:
        """The real URL for a path of the API."""
        return self._base + path.removeprefix("/v1")

    def outward(self, value: Any, origin: str, place: str = "") -> Any:
        """An answer as the program gets it. ``place`` is the name of the member that contains ``value``."""
        if isinstance(value, Mapping):
            inside = {"output": "output", "urls": "urls"}
            return {
                name: self.outward(item, origin, place if place == "output" else inside.get(name, f"{place}.{name}"))
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.outward(item, origin, place) for item in value]
        return self.link(value, origin, place) if isinstance(value, str) and _URL.fullmatch(value) else value

    def link(self, url: str, origin: str, place: str = "output") -> str:
        if self._base and url.startswith(f"{self._base}/"):
            return f"{origin}/v1{url.removeprefix(self._base)}"
        if place not in {"output", "urls.stream"}:
            return url
        if not self._fixed and self._allowed(url):
            self.add(url)
        number = self._numbers.get(url)
        return url if number is None else f"{origin}{PLACE}{number}/{_name(url)}"

    def inward(self, value: Any, origin: str) -> Any:
        """What a program sends, with the real URLs instead of the proxy's."""
        if isinstance(value, Mapping):
            return {name: self.inward(item, origin) for name, item in value.items()}
        if isinstance(value, list):
            return [self.inward(item, origin) for item in value]
        if not isinstance(value, str) or not value.startswith(f"{origin}/"):
            return value
        path = value.removeprefix(origin)
        if self._base and path.startswith("/v1/"):
            return self.api(path)
        return self.find(path) or value


def _name(url: str) -> str:
    last = urlsplit(url).path.rpartition("/")[2]
    return last if _NAME.fullmatch(last) else "file"
