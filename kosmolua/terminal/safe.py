"""Make untrusted text safe to print: escape characters that would control the terminal."""

from __future__ import annotations

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks that are invisible


def safe(text: str) -> str:
    """The text with control and invisible characters escaped, except newline and tab."""
    return "".join(c if c in "\n\t" or c.isprintable() else visible(c) for c in text)


def visible(text: str) -> str:
    """The text with control, format and other invisible characters escaped; unusual spaces become plain ones."""
    return "".join(c if c.isprintable() and c not in _BLANK else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    import unicodedata  # rarely needed

    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()
