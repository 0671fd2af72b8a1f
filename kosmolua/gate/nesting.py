"""How deep calls are nested when the host's own functions call the host again."""

from __future__ import annotations

from contextvars import ContextVar

MOST = 16  # nested calls; each may be a run with its own process
DEPTH: ContextVar[int] = ContextVar("depth", default=0)
