"""The style sheet and the script of the console. Nothing is built, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
from functools import cache

from kosmolua.page.styles import stylesheet

_WHERE = os.path.join(os.path.dirname(__file__), "static")


@cache
def console_stylesheet() -> str:
    return stylesheet() + _read("console.css")


@cache
def script() -> str:
    return _read("console.js")


@cache
def icon() -> str:
    return _read("icon.svg")


def _read(name: str) -> str:
    with open(os.path.join(_WHERE, name), encoding="utf-8") as file:
        return file.read()
