"""Pages about topics: one Markdown file each in this directory. `integrations:docs NAME` shows one."""

from __future__ import annotations

import os
import re
from functools import cache

from kosmolua.errors import CODES

_DIRECTORY = os.path.dirname(__file__)
_FACT = re.compile(r"\{\{(\w+)\}\}")


@cache
def topics() -> dict[str, str]:
    """The pages by name, each starting with its title."""
    names = sorted(name for name in os.listdir(_DIRECTORY) if name.endswith(".md"))
    return {name.removesuffix(".md"): _page(name) for name in names}


def title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


@cache
def facts() -> dict[str, str]:
    """Values from the code for placeholders, which pages write as {{name}}."""
    from kosmolua.runtime import limits, pending, port

    defaults = {f"{name}_limit": limits.shown(name) for name in ("cpu", "memory", "output", "time")}
    return {
        **defaults,
        "codes": "\n".join(f"    {code:<18}{status}" for code, status in CODES.items()),
        "call_grace": f"{pending.PATIENCE:g} s",
        "max_open": f"{pending.MAX_OPEN:,}",
        "max_frame": limits.size(limits.MAX_FRAME),
        "max_lines": f"{port.MAX_LINES:,}",
        "max_results": f"{port.MAX_RESULTS:,}",
        "max_arguments": f"{port.MAX_ARGUMENTS:,}",
    }


def _page(name: str) -> str:
    with open(os.path.join(_DIRECTORY, name), encoding="utf-8") as file:
        return _FACT.sub(lambda found: facts()[found[1]], file.read())
