"""LuaJIT's syntax errors, with hints for common mistakes."""

from __future__ import annotations

import re

from kosmolua.check.lexer import KEYWORDS
from kosmolua.check.names import nearest
from kosmolua.check.problem import Problem
from kosmolua.errors import KosmoError

# Other languages' keywords -> Lua's.
_FOREIGN = {
    "elif": "elseif", "elsif": "elseif", "def": "function", "func": "function", "fn": "function", "var": "local",
    "let": "local", "const": "local", "foreach": "for", "import": "require(…)", "try": "pcall(function() … end)",
    "switch": "if … elseif … end", "continue": "goto continue, with ::continue:: before the end,",
}  # fmt: skip
_MAX_LINE = 1  # blank lines that stand for the module's unknown lines before the error
_LONG = frozenset(word for word in KEYWORDS if len(word) > 3)  # noqa: PLR2004 - shorter words are similar to too many
_HINTS = (  # pattern of the line, pattern of LuaJIT's message, hint
    (r"^\s*#", r"near '#'", "Write -- before a comment."),
    (r"/\*|^\s*//", r"near '/'", "Write -- before a comment."),
    (r"\?.*:", r"near '\?'", "Write condition and a or b."),
    (r":", r"'\}' expected .*near ':'", "Write = between a name and its value."),
    (r"[\"']\s*=", r"'\}' expected .*near '='", 'Write name = value, or ["name"] = value.'),
    (r"", r"'\)' expected .*near '='", "Give named arguments in a table: f { name = value }."),
    (r"!=", r"near '!'", "Write ~= for not equal."),
    (r"!", r"near '!'", "Write not."),
    (r"&&|\|\|", r"near '[&|]'", "Write and, or."),
    (r"//", r"near '/'", "Write math.floor(a / b); a comment begins with --."),
    (r"\+\+", r"near '\+'", "Write n = n + 1."),
    (r"[-+*/]=", r"near '='|'=' expected near '[-+*/]'", "Write n = n + 1: Lua has no assignment with an operator."),
    (r":=", r"near '='", "Write = to assign."),
    (r"\bcontinue\b", r"'=' expected near", f"Write {_FOREIGN['continue']} instead of continue."),
    (r"<\s*(?:const|close)\s*>", r"near '<'", "Write local name = value: LuaJIT has no attributes such as <const>."),
    (r"\b(?:if|while|until)\b.*[^=~<>]=[^=]", r"expected near '='", "Write == to compare."),
    (r"\belse\s+if\b", r"'end' expected", "Write elseif, or add an end."),
    (r"\{", r"near '\{'", "Write then, do and end around a block: Lua has no braces."),
    (r"", r"'\}' expected", "Separate the items with a comma."),
    (r"", r"'\)' expected near '[\w\"'{]", "Separate the arguments with a comma."),
    (r"", r"'then' expected", "Write then after the condition."),
    (r"", r"'do' expected", "Write do after the condition."),
    (r"", r"near '\.\.'", 'Put the whole text in parentheses: print("a" .. b).'),
    (r"\w\s*:\s", r"'<name>' expected", "Write = between a name and its value."),
    (r"", r"'<eof>' expected near 'end'", "Remove the end, or add what it closes."),
    (r"", r"'<eof>' expected near '\w", "Nothing may follow return in its block."),
    (r"\belif\b|\belsif\b", r"", "Write elseif."),
    (r"", r"'until' expected", "Write until after the block of repeat."),
    (r"", r"unfinished string", "Close the string, or use [[ … ]] for several lines."),
    (r"", r"'end' expected .*<eof>", "Add the end that is missing."),
    (r"\bbreak\b", r"break", "Use break within a loop."),
)  # fmt: skip


def problem(file: str, text: str, line: int, message: str) -> Problem:
    """The problem, with the column if the message shows it."""
    lines = text.split("\n")
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    near = re.search(r"near '(.+)'$", message)
    at = written.find(near[1]) if near else -1
    return Problem(
        file=file, line=line, column=max(at, 0) + 1, severity="error", code="syntax_error", message=message,
        hint=_hint(lines, line, message),
    )  # fmt: skip


def explain(error: KosmoError, name: str, source: bytes) -> None:
    """Add a hint to the syntax error of a script, or of a module, whose line is in the error's detail."""
    where = re.fullmatch(r"(.+):([0-9]{1,9})", getattr(error, "where", None) or "", re.DOTALL)
    if error.code != "syntax_error" or error.hint or not where:
        return
    line = int(where[2])
    if where[1] == name:
        error.hint = _hint(source.decode(errors="replace").split("\n"), line, error.message)
    elif isinstance(error.detail, str):
        error.hint = _hint([*[""] * min(line - 1, _MAX_LINE), error.detail], min(line, _MAX_LINE + 1), error.message)


def _hint(lines: list[str], line: int, message: str) -> str | None:
    """The hint for LuaJIT's message about a line."""
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    misspelt = _misspelt(lines if "near 'end'" in message or "<eof>" in message else lines[max(line - 2, 0) : line])
    if misspelt:
        return misspelt
    return next(
        (advice for written, said, advice in _HINTS if re.search(written, here) and re.search(said, message)), None
    )


def _misspelt(lines: list[str]) -> str | None:
    """The hint for a word that is probably a misspelled keyword: no name is valid there, and a name follows."""
    for line in lines:
        foreign = re.match(r"\s*(\w+)\b(?!\s*[=(.:\[,])", line)
        if foreign and foreign[1] in _FOREIGN:
            return f"Write {_FOREIGN[foreign[1]]} instead of {foreign[1]}."
        for word in re.findall(r"\b([A-Za-z_]{3,})(?=[ \t]+[\w\"'{])", line.partition("--")[0]):
            near = nearest(word, _LONG) if word not in KEYWORDS else None
            if near and len(word) >= len(near) - 1:
                return f"Did you mean {near} instead of {word}?"
    return None
