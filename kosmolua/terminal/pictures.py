"""Recognize pictures by URL and by content."""

from __future__ import annotations

import re

URL = r"https?://[^\s?#]+\.(?:png|jpe?g|gif|webp)(?:[?#]\S*)?"
"""A URL with the suffix of a picture. Match it without regard to case."""

_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif"),
)


def kind_of(content: bytes) -> str | None:
    """The MIME type of a picture that browsers can show, judged by its content; None for other content."""
    return next((kind for magic, kind in _MAGIC if magic.match(content)), None)
