"""Ids of predictions and trainings, as answers name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Characters of Replicate's ids, and of UUIDs. An id becomes part of a path and of commands that people copy.
_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.~:-]{1,200}")


def id_of(data: Any) -> str | None:
    """The id in an answer; None if missing or unusable in later calls."""
    found = data.get("id") if isinstance(data, Mapping) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None
