"""How deep the host's own functions are nested, that call the host themselves."""

from __future__ import annotations

from contextvars import ContextVar

MOST = 16  # calls within calls: each may be a run with a process of its own
DEPTH: ContextVar[int] = ContextVar("depth", default=0)
