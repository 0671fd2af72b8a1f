"""Size limits that keep the code readable, for rooms, modules and functions, in Python and Lua."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = sorted((ROOT / "kosmolua").rglob("*.py"))
LUA = sorted(path for path in (ROOT / "lua").rglob("*.lua") if "types" not in path.parts)
MAX_MODULE, MAX_FUNCTION, MAX_ROOM = 450, 60, 0.15
TABLES = {"catalogue.py"}  # data, one entry for each operation
BEGIN = re.compile(r"(\s*)(?:local )?(?:return )?(?:[\w.:]+ = )?function\b(?!.*\bend\b)")
END = re.compile(r"(\s*)end\b")


def lines(path):
    return path.read_text().splitlines()


def functions(path):
    """The functions of a Python module, as tuples (name, number of lines)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def lua_functions(path):
    """The functions of a Lua module, as tuples (first line, number of lines). A function ends at the next `end` with
    the same indentation."""
    open_ = {}
    for number, line in enumerate(lines(path)):
        if found := BEGIN.match(line):
            open_[found[1]] = number, line
        elif (found := END.match(line)) and found[1] in open_:
            began, first = open_.pop(found[1])
            yield first.strip(), number - began + 1


def test_no_room_is_larger_than_its_share():
    """No room has more than 15 % of the package's code; a larger room must be split."""
    sizes = Counter()
    for path in PYTHON:
        sizes[path.relative_to(ROOT / "kosmolua").parts[0]] += len(lines(path))

    assert [] == [room for room, size in sizes.items() if size > MAX_ROOM * sizes.total()]


def test_modules_are_short():
    """No module except the catalogue has more than 450 lines."""
    assert [] == [path.name for path in [*PYTHON, *LUA] if len(lines(path)) > MAX_MODULE and path.name not in TABLES]


def test_functions_are_short():
    """No function has more than 60 lines."""
    found = [(path.name, *each) for path in PYTHON for each in functions(path)]
    lua = [(path.name, *each) for path in LUA for each in lua_functions(path)]

    assert lua
    assert [] == [each for each in [*found, *lua] if each[-1] > MAX_FUNCTION]
