"""Pages about topics: one Markdown file each in this directory. `integrations:docs NAME` shows one."""

from __future__ import annotations

import os
import re
from functools import cache

from kosmolua.errors import CODES

_DIRECTORY = os.path.dirname(__file__)
_FACT = re.compile(r"\{\{(\w+)\}\}")


# Words that people search for, besides those of a topic's name and title.
KEYWORDS = {
    "arguments": "argument flags json stdin",
    "budgets": "budget cost costs price prices money limit limits spending",
    "configuration": "configure config settings token account environment variables proxy",
    "errors": "error exit status code codes failure retry",
    "faults": "fault emulator failure simulate inject test",
    "files": "download save read write directory",
    "isolation": "sandbox confinement security memory",
    "lua": "script header helpers declare",
    "models": "schema inputs version cache",
    "pages": "pagination cursor next list",
    "permissions": "policy rule rules allow deny ask approval approvals gate",
    "runs": "journal resume replay undo cassette",
    "shell": "pipe stdin output terminal",
    "webhooks": "trigger triggers schedule worker signature",
}


def names() -> list[str]:
    """The names of the topics, without reading their pages."""
    return sorted(name.removesuffix(".md") for name in os.listdir(_DIRECTORY) if name.endswith(".md"))


@cache
def topics() -> dict[str, str]:
    """The pages by name, each starting with its title."""
    return {name: _page(f"{name}.md") for name in names()}


def title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


@cache
def facts() -> dict[str, str]:
    """Values from the code for placeholders, which pages write as {{name}}."""
    from kosmolua.runtime import limits, pending, port

    defaults = {f"{name}_limit": limits.shown(name) for name in ("cpu", "memory", "output", "time")}
    return {
        **defaults,
        "codes": _codes(),
        "call_grace": f"{pending.PATIENCE:g} s",
        "max_open": f"{pending.MAX_OPEN:,}",
        "max_frame": limits.size(limits.MAX_FRAME),
        "max_lines": f"{port.MAX_LINES:,}",
        "max_results": f"{port.MAX_RESULTS:,}",
        "max_arguments": f"{port.MAX_ARGUMENTS:,}",
    }


def _codes() -> str:
    width = max(map(len, CODES)) + 2
    return "\n".join(f"    {code:<{width}}{status}" for code, status in CODES.items())


def _page(name: str) -> str:
    with open(os.path.join(_DIRECTORY, name), encoding="utf-8") as file:
        return _FACT.sub(lambda found: facts()[found[1]], file.read())
