"""Writes a worker's log as JSON, one object per line, each with the id of its run."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

LOGGERS = ("kosmolua.calls", "kosmolua.worker")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with ``at``, ``level``, ``logger``, ``message`` and kosmolua's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = getattr(record, "kosmolua", {})
        fields |= {name: value for name, value in more.items() if name not in fields and value not in (None, "")}
        return msgspec.json.encode(fields, enc_hook=str).decode()


def configure(stream: IO[str] | None = None) -> None:
    """Write the log of the worker and its runs to standard error, as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def notice(text: str) -> None:
    """Log a message for the operator."""
    logging.getLogger(LOGGERS[1]).info("%s", text)
