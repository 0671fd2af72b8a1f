"""What the rules ask about a program, and where they report."""

from __future__ import annotations

from kosmolua.check.names import FOREIGN, STANDARD
from kosmolua.check.problem import Problem, Severity
from kosmolua.check.program import Program
from kosmolua.check.reach import is_reached
from kosmolua.check.tree import Call, Constant, Function, Name, Node, Operation, Table
from kosmolua.check.world import World

MAX_PROBLEMS = 200
MANY = 3  # a script with more unknown names is taken for a part of another program
_SPENDING = frozenset({"replicate", "integrations", "app", "run", "wait", "stream", "each", "download", "file"})
CALLING = _SPENDING | {"parallel", "race", "spawn", "sleep"}
NOTHING = object()


class Look:
    """One check of a program: answers the rules' questions, and collects their reports."""

    def __init__(self, program: Program, world: World) -> None:
        self.program = program
        self.world = world
        self.source = program.sources[0]
        strange = self._strange()
        self.is_part = len(strange) > MANY  # part of a program that defines more names
        self.is_plain = not spends(program)
        self._found: dict[tuple[str, int, str], Problem] = {}

    def _strange(self) -> set[str]:
        """The names that are read but unknown."""
        program = self.program
        known = {
            *self.world.known,
            *STANDARD,
            *FOREIGN,
            *program.assigned,
            *(path[0] for path in program.tested if path),
        }
        return {name.text for source in program.sources for name in source.tree.names} - known

    def report(
        self,
        at: int,
        severity: Severity,
        code: str,
        message: str,
        hint: str | None = None,
        within: Function | None = None,
        writes: str | None = None,
    ) -> None:
        """Note a problem, unless it is in a function whose errors may be caught."""
        if (within and self.program.guarded(within)) or len(self._found) >= MAX_PROBLEMS or self._is_unreached(at):
            return
        line, column = self.source.place(at)
        problem = Problem(
            file=self.source.name,
            line=line,
            column=column,
            severity=severity,
            code=code,
            message=message,
            hint=hint,
            writes=writes,
        )
        self._found.setdefault((self.source.name, at, code), problem)

    def _is_unreached(self, at: int) -> bool:
        """Whether the place is in a branch whose condition is a missing name or a local that is always false."""
        branches = self.source.tree.branches
        return any(start <= at <= end and self._is_doubtful(condition) for condition, start, end in branches)

    def _is_doubtful(self, condition: Node | None, *, alone: bool = True) -> bool:
        """Whether a condition reads a missing name, or, if ``alone``, is a value that is never true."""
        if isinstance(condition, Operation):
            alone = alone and condition.operator in {"and", "("}
            return any(self._is_doubtful(one, alone=alone) for one in (condition.left, condition.right))
        if isinstance(condition, Call):
            return any(self._is_doubtful(one, alone=False) for one in condition.arguments)
        path = self.program.path(condition)
        if path:
            fields = self.world.known.get(path[0])
            return fields is None or path == ("_VERSION",) or bool(path[1:] and fields and path[1] not in fields)
        value = self.program.value(condition)
        return alone and isinstance(value, Constant) and value.text in {"false", "nil"}

    def certain(self, at: int, within: Function) -> Severity:
        """The severity of a refusal at this place: an error if every run reaches the place."""
        return "error" if is_reached(self.program, self.source, at, within) else "warning"

    def literal(self, node: Node | None) -> object:
        return literal(self.program, node)

    def problems(self) -> list[Problem]:
        """All problems in source order, the main script first."""
        order = {source.name: place for place, source in enumerate(self.program.sources)}
        return sorted(self._found.values(), key=lambda one: (order[one.file], one.line, one.column))


def spends(program: Program) -> bool:
    """Whether a program may call the API, and so cost money."""
    return reads(program, _SPENDING)


def reads(program: Program, names: frozenset[str]) -> bool:
    """Whether one of these globals is read and not assigned by the program."""
    found = {name.text for source in program.sources for name in source.tree.names}
    return not names.isdisjoint(found - program.assigned.keys())


# Values -----------------------------------------------------------------------------------------------------------


def literal(program: Program, node: Node | None) -> object:
    """The constant value of an expression as JSON data; NOTHING if unknown."""
    node = program.value(node)
    if isinstance(node, Constant):
        return _constant(node)
    if isinstance(node, Operation) and node.operator in {"-", "("} and node.right is None:
        value = literal(program, node.left)
        if node.operator == "(":
            return value
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else NOTHING
    return _table(program, node) if isinstance(node, Table) else NOTHING


def _constant(node: Constant) -> object:
    match node.kind:
        case "string":
            return node.string
        case "number":
            return number(node.text)
        case "boolean":
            return node.text == "true"
        case "nil":
            return None
    return NOTHING


def number(text: str) -> object:
    """The value of a Lua number. NOTHING for LuaJIT's 64-bit and complex numbers, which JSON lacks."""
    try:
        value = float.fromhex(text) if text[:2] in {"0x", "0X"} else float(text)
    except (ValueError, OverflowError):
        return NOTHING
    return int(value) if value.is_integer() else value


def _table(program: Program, node: Table) -> object:
    keys = [literal(program, key) if key else None for key, _ in node.items]
    values = [literal(program, value) for _, value in node.items]
    if NOTHING in keys or NOTHING in values:
        return NOTHING
    if all(isinstance(key, str) for key in keys):
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}
    return values if not any(keys) else NOTHING


class Named:
    """A table of named values, as passed to calls. ``open``: the table may have further names. A node of None means
    that no table is passed.
    """

    def __init__(self, program: Program, node: Node | None) -> None:
        self.items: dict[str, tuple[int, Node]] = {}
        self.open = not (node is None or isinstance(node, Table))
        for key, value in node.items if isinstance(node, Table) else ():
            name = literal(program, key) if key else NOTHING
            if isinstance(name, str):
                self.items[name] = (key.at if key else value.at, value)
            else:
                self.open = True


def table_of(program: Program, node: Node | None) -> Table | None:
    """The table constructor of an argument: the argument itself, or the value of a local that nothing else uses."""
    if isinstance(node, Name) and node.local and node.local.reads == 1 and not node.local.fields:
        node = program.value(node)
    return node if isinstance(node, Table) else None


def argument(call: Call, place: int) -> Node | None:
    """The nth argument, counted from 0; None if missing."""
    return call.arguments[place] if place < len(call.arguments) else None


def is_open(call: Call) -> bool:
    """Whether the number of arguments is unknown."""
    last = call.arguments[-1] if call.arguments else None
    return isinstance(last, Call) or (isinstance(last, Constant) and last.kind == "...")


def kind(program: Program, node: Node | None) -> str | None:
    """The Lua type of an expression; None if not certain."""
    node = program.value(node)
    if isinstance(node, Constant):
        return None if node.kind == "..." else node.kind
    if isinstance(node, Table):
        return "table"
    return "function" if isinstance(node, Function) else None
