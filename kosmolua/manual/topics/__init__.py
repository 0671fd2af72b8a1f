"""Pages about no single function: one Markdown file each in this directory. `integrations:docs NAME` shows one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

from kosmolua.errors import CODES

_DIRECTORY = os.path.dirname(__file__)


def _codes() -> str:
    return "\n".join(f"    {code:<18}{status}" for code, status in CODES.items())


# What a page takes from the code, where it writes {{name}}.
_FACTS: dict[str, Callable[[], str]] = {"codes": _codes}


@cache
def topics() -> dict[str, str]:
    """The pages by name, each starting with its title."""
    names = sorted(name for name in os.listdir(_DIRECTORY) if name.endswith(".md"))
    return {name.removesuffix(".md"): _page(name) for name in names}


def title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def _page(name: str) -> str:
    with open(os.path.join(_DIRECTORY, name), encoding="utf-8") as file:
        text = file.read()
    for fact, value in _FACTS.items():
        text = text.replace("{{" + fact + "}}", value())
    return text
