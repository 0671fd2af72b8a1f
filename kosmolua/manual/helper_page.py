"""The page about a script helper, made from the helper's declarations in helpers.lua."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import indent

from kosmolua.manual import stubs
from kosmolua.manual.helper_examples import EXAMPLES
from kosmolua.terminal.text import heading, table, wrapped

_FUNCTION = re.compile(r"^function (?:workflows\.)?([\w.:]+)\((.*)\) end$", re.MULTILINE)
_PARAMETER = re.compile(r"^---@param (\w+|\.\.\.)(\??) (.+)$", re.MULTILINE)
_RETURNS = re.compile(r"^---@return (.+)$", re.MULTILINE)
_NAMES = {"replicate.Prediction": "prediction", "kosmolua.File": "file", "kosmolua.Error": "error"}


def page(name: str) -> str | None:
    """The page as aligned text; None if there is no such helper."""
    declared = stubs.helper(name)
    if declared is None:
        return None
    own = [
        block
        for block in declared.split("\n\n")
        if re.search(rf"^(?:function (?:workflows\.)?{name}\b|{name} =)", block, re.MULTILINE)
    ]
    parts = [part for block in own for part in _block(name, block)]
    parts = parts or [heading(name), wrapped(stubs.summaries()[name])]
    if name in EXAMPLES:
        parts.append(f"{heading('example')}\n{indent(EXAMPLES[name], '  ')}")
    return "\n\n".join(parts)


def _block(name: str, block: str) -> Iterator[str]:
    """One declaration: a function with its parameters, or a table of other declarations."""
    about = " ".join(
        line.removeprefix("---") for line in block.splitlines() if line.startswith("---") and line[3:4] != "@"
    )
    function = _FUNCTION.search(block)
    yield heading(f"{function[1]}({function[2]})" if function else name)
    if about:
        yield wrapped(about)
    if not function:
        return
    rows = [(each[1], _type(each[3]) + (", optional" if each[2] else "")) for each in _PARAMETER.finditer(block)]
    if rows and function[1] == name:
        yield f"{heading('parameters')}\n{table(rows)}"
    returned = [_type(each[1]) for each in _RETURNS.finditer(block)]
    if returned:
        yield f"{heading('returns')}  {', '.join(returned)}"
    for position in range(len(rows)):
        options = stubs.options_of(name, position) if function[1] == name else ()
        if options:
            yield f"{heading('options')}\n" + table((one.name, _type(one.type), one.about) for one in options)


def _type(text: str) -> str:
    """A language server type in words."""
    kind, _, name = text.partition(" ") if not text.startswith(("fun(", "table<", "(")) else (text, "", "")
    for known, word in _NAMES.items():
        kind = kind.replace(known, word)
    if kind.startswith("fun("):
        return "function"
    if kind.endswith("[]"):
        return "list"
    kind = "table" if kind.startswith(("table<", "kosmolua.")) else kind
    words = kind.replace("|", " or ").replace("?", " or nil")
    return f"{name}: {words}" if name and not name.startswith("#") else words
