"""The style sheet for the parts of pages."""

from __future__ import annotations

import os
from functools import cache


@cache
def stylesheet() -> str:
    with open(os.path.join(os.path.dirname(__file__), "parts.css"), encoding="utf-8") as file:
        return file.read()
