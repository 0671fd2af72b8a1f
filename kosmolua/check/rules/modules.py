"""Missing modules."""

from __future__ import annotations

from kosmolua.check.look import Look
from kosmolua.check.program import Source
from kosmolua.services.modules import instead


def modules(look: Look, source: Source) -> None:
    for where, call, name in look.program.missing:
        if where is source and name not in look.world.known:
            message = f'no module "{name}" next to the script'
            path = name.replace(".", "/")
            hint = instead(name) or f"Create {path}.lua, or correct the name."
            look.report(call.at, "warning", "missing_module", message, hint, call.within)
