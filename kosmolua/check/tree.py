"""The nodes of a script's syntax tree, and what the parser collects. ``at`` is an offset into the text."""

from __future__ import annotations

from kosmolua.check.lexer import string_value


class Local:
    """A local variable or parameter. ``value`` is the expression it is declared with, None if that is unknown;
    ``writes`` counts later assignments, ``calls`` and ``reads`` its uses.
    """

    __slots__ = ("at", "calls", "fields", "name", "reads", "value", "writes")

    def __init__(self, name: str, at: int, value: Node | None = None) -> None:
        self.name = name
        self.at = at
        self.value = value
        self.writes = 0
        self.reads = 0
        self.calls = 0
        self.fields = False  # whether one of its fields is assigned


class Node:
    """An expression."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class Constant(Node):
    """nil, true, false, a number or a string; ``kind`` is Lua's name of its type, or "..."."""

    __slots__ = ("kind", "text")

    def __init__(self, at: int, kind: str, text: str) -> None:
        self.at = at
        self.kind = kind
        self.text = text

    @property
    def string(self) -> str | None:
        return string_value(self.text) if self.kind == "string" else None


class Name(Node):
    """A variable name; ``local`` is None for a global."""

    __slots__ = ("local", "text", "within")

    def __init__(self, at: int, text: str, local: Local | None, within: Function) -> None:
        self.at = at
        self.text = text
        self.local = local
        self.within = within


class Index(Node):
    """``base.key`` or ``base[key]``."""

    __slots__ = ("base", "key", "within")

    def __init__(self, at: int, base: Node, key: Node, within: Function) -> None:
        self.at = at
        self.base = base
        self.key = key
        self.within = within


class Call(Node):
    """``callee(arguments)``, or with ``method`` ``callee:method(arguments)``."""

    __slots__ = ("arguments", "callee", "method", "within")

    def __init__(self, at: int, callee: Node, arguments: list[Node], method: str | None, within: Function) -> None:
        self.at = at
        self.callee = callee
        self.arguments = arguments
        self.method = method
        self.within = within


class Function(Node):
    """A function, or the chunk itself, which has no ``parent``. ``returns``: it returns a value somewhere. ``guarded``:
    an error in it may be caught. ``named``: it is only used as the value of a name.
    """

    __slots__ = ("guarded", "named", "parent", "returns")

    def __init__(self, at: int, parent: Function | None) -> None:
        self.at = at
        self.parent = parent
        self.returns = False
        self.guarded = False
        self.named = False


class Table(Node):
    """A table constructor: keys and values; an item of the list part has no key."""

    __slots__ = ("items",)

    def __init__(self, at: int, items: list[tuple[Node | None, Node]]) -> None:
        self.at = at
        self.items = items


class Operation(Node):
    """An operator and its one or two operands; "(" is an expression in parentheses."""

    __slots__ = ("left", "operator", "right", "within")

    def __init__(self, at: int, operator: str, left: Node, right: Node | None, within: Function) -> None:
        self.at = at
        self.operator = operator
        self.left = left
        self.right = right
        self.within = within


class Loop(Node):
    """The expressions of ``for … in expressions do``; ``end`` is the offset of the loop's end."""

    __slots__ = ("end", "expressions", "within")

    def __init__(self, at: int, expressions: list[Node], within: Function) -> None:
        self.at = at
        self.end = at
        self.expressions = expressions
        self.within = within


class Tree:
    """The parts of a script that the rules look at. ``names`` are the globals that are read, ``assigned`` those that
    are assigned (with their values), ``tested`` the expressions that are conditions, ``fields`` the assigned places
    ``base.key``, and ``locals`` every local variable. ``branches`` are the conditions of ``if`` and ``while``, with the
    statement's first and last offset, and ``returns`` the places where a function may be left.
    """

    __slots__ = (
        "assigned", "branches", "calls", "fields", "functions", "indexes", "locals", "loops", "names", "operations",
        "returns", "tested",
    )  # fmt: skip

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.indexes: list[Index] = []
        self.operations: list[Operation] = []
        self.loops: list[Loop] = []
        self.names: list[Name] = []
        self.functions: list[Function] = []
        self.tested: list[Node] = []
        self.branches: list[tuple[Node, int, int]] = []
        self.returns: list[tuple[int, Function]] = []
        self.fields: list[Index] = []
        self.assigned: dict[str, list[Node | None]] = {}
        self.locals: list[Local] = []

    def passed(self) -> list[Node | None]:
        """The values of local variables that are not only called."""
        return [local.value for local in self.locals if local.reads > local.calls]


def nth(values: list[Node], place: int, at: int) -> Node | None:
    """The value of the nth name of an assignment, if known."""
    if place < len(values) - 1 or (place == len(values) - 1 and not _is_open(values[place])):
        return values[place]
    if place == len(values) - 1:
        return values[place] if isinstance(values[place], Call) else None
    if values and _is_open(values[-1]):
        return None
    return Constant(at, "nil", "nil")


def _is_open(value: Node) -> bool:
    """Whether an expression may have several values."""
    return isinstance(value, Call) or (isinstance(value, Constant) and value.kind == "...")
