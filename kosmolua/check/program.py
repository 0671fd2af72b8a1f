"""A script with the modules it requires: their trees, and what is known about their names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from kosmolua.check.lexer import SyntaxProblem
from kosmolua.check.parser import TooDeepError, parse
from kosmolua.check.tree import Call, Constant, Function, Index, Name, Node, Operation, Table, Tree

MAX_MODULES = 200
MAX_ALIASES = 10  # the most locals to follow to a value
Path = tuple[str, ...]
_CATCHING = frozenset({("pcall",), ("xpcall",), ("coroutine", "create"), ("race",)})
_LOADING = frozenset({"load", "loadstring", "loadfile", "dofile", "setfenv", "getfenv", "module", "debug", "_ENV"})
_PROBING = frozenset({("type",), ("rawequal",), ("assert",)})


class Module(NamedTuple):
    """A file that `require` found; ``name`` is shown in messages."""

    name: str
    text: str


Find = Callable[[str], Module | None]


class Source:
    """One file and its tree; ``broken`` is the syntax error, if any."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.broken: SyntaxProblem | TooDeepError | None = None
        try:
            self.tree = parse(text)
        except (SyntaxProblem, TooDeepError) as error:
            self.broken = error
            self.tree = Tree()

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(at + 1 for at, letter in enumerate(self.text) if letter == "\n")]

    def place(self, at: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1


class Program:
    """A script and its modules; the main script is the first source. ``opaque`` means that further globals may exist: a
    module could not be read, or the script makes names or code while it runs. ``required`` are the calls that load a
    module, with its file, and ``missing`` the calls whose module was not found.
    """

    def __init__(self, main: Source, find: Find | None = None) -> None:
        self.sources = [main]
        self.missing: list[tuple[Source, Call, str]] = []
        self.required: list[tuple[Source, Call, str]] = []
        self.assigned: dict[str, list[Node | None]] = {}
        self.fields: set[Path] = set()
        self.tested: set[Path] = set()
        self.members: set[str] = set()  # every field name that is assigned, or used in a table constructor
        self.opaque = False
        self.loose: set[str] = set()  # global tables that are passed on, so that other code may add fields
        self._load(find)
        self._collect()
        self._guard()

    # Modules ------------------------------------------------------------------------------------------------------

    def _load(self, find: Find | None) -> None:
        known: dict[str, None] = {}
        for source in self.sources:  # the list grows in the loop
            self.opaque = self.opaque or source.broken is not None
            for call in source.tree.calls:
                if isinstance(call.callee, Name) and call.callee.text == "require" and not call.callee.local:
                    self._require(source, call, find, known)

    def _require(self, source: Source, call: Call, find: Find | None, known: dict[str, None]) -> None:
        first = call.arguments[0] if call.arguments else None
        name = first.string if isinstance(first, Constant) else None
        if name is None:
            self.opaque = True
        elif name not in known and name not in _LIBRARIES:
            known[name] = None
            found = find(name) if find and len(self.sources) < MAX_MODULES else None
            if found:
                self.sources.append(Source(*found))
                self.required.append((source, call, found.name))
            else:
                self.opaque = True
                self.missing.append((source, call, name))

    # Names --------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for source in self.sources:
            for name, values in source.tree.assigned.items():
                self.assigned.setdefault(name, []).extend(values)
        for source in self.sources:
            tree = source.tree
            self._collect_fields(tree)
            for node in tree.tested:
                self._test(node)
            for call in tree.calls:
                self._collect_call(call)
            self.loose |= _handed_on(tree)
            self.opaque = self.opaque or any(name.text in _LOADING for name in tree.names)
        self.opaque = self.opaque or "_G" in self.loose

    def _collect_fields(self, tree: Tree) -> None:
        for index in tree.fields:
            key = index.key.string if isinstance(index.key, Constant) else None
            if key is not None:
                self.members.add(key)
            path = self.path(index)
            if path and len(path) == 1:  # _G.name
                self.assigned.setdefault(path[0], []).append(None)
            elif path:
                self.fields.add(path)
            elif key is None and self.path(index.base):
                self.fields.add((*(self.path(index.base) or ()), "*"))

    def _test(self, node: Node | None) -> None:
        path = self.path(node)
        if path:
            self.tested.add(path)

    def _collect_call(self, call: Call) -> None:
        path = self.path(call.callee)
        if path in _PROBING:
            for argument in call.arguments:
                self._test(argument)
        elif path in {("rawset",), ("rawget",)} and self.path(call.arguments[0] if call.arguments else None) == ():
            self.opaque = True

    def path(self, node: Node | None, depth: int = MAX_ALIASES) -> Path | None:
        """The global that an expression names, such as ("string", "format"); () for the table of globals. None if the
        expression names no global, or a global that the program may have changed.
        """
        if isinstance(node, Name) and node.local:
            local = node.local
            return self.path(local.value, depth - 1) if depth and not local.writes else None
        if isinstance(node, Name):
            if node.text == "_G":
                return ()
            return None if node.text in self.assigned else (node.text,)
        if isinstance(node, Index):
            base, key = self.path(node.base, depth), node.key
            name = key.string if isinstance(key, Constant) else None
            if base is None or name is None or (base == () and name in self.assigned):
                return None
            return _short((*base, name))
        return None

    def value(self, node: Node | None) -> Node | None:
        """The expression itself; if it names a local variable that never changes, the variable's value."""
        for _ in range(MAX_ALIASES):
            if not isinstance(node, Name) or not node.local or node.local.writes:
                break
            node = node.local.value
        return node

    # Caught errors ------------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        """Mark the functions in which an error may be caught."""
        loose = bool(self.missing)  # missing modules may call any function
        for source in self.sources:
            for call in source.tree.calls:
                path = self.path(call.callee)
                if path in _CATCHING:
                    loose = self._catch(call.arguments[:1]) or loose
                elif path == ("parallel",) and self._collects(call):
                    loose = self._catch(call.arguments[1:2]) or loose
        if loose:
            self._guard_values()

    def _collects(self, call: Call) -> bool:
        options = call.arguments[2] if len(call.arguments) > 2 else None  # noqa: PLR2004 - the third argument
        if not isinstance(options, Table):
            return options is not None
        on_error = next((value for key, value in options.items if _word(key) == "on_error"), None)
        return on_error is not None and _word(on_error) != "raise"

    def _catch(self, arguments: list[Node]) -> bool:
        """Mark the given functions as guarded. Returns whether one of them is unknown."""
        unknown = False
        for argument in arguments:
            items = [value for _, value in argument.items] if isinstance(argument, Table) else [argument]
            for item in items:
                value = self.value(item)
                if isinstance(value, Name) and value.text in self.assigned:
                    value = self.assigned[value.text][0]
                if isinstance(value, Function):
                    value.guarded = True
                unknown = unknown or not (isinstance(value, Function | Constant) or self.path(item) is not None)
        return unknown

    def _guard_values(self) -> None:
        """Mark every function that is used as a value: the unknown function that `pcall` gets may be any of them."""
        for source in self.sources:
            called = {id(call.callee) for call in source.tree.calls}
            passed = {name.text for name in source.tree.names if id(name) not in called}
            named = [value for name in passed for value in self.assigned.get(name, ())]
            for function in source.tree.functions:
                function.guarded = function.guarded or (not function.named and function.parent is not None)
            for value in (*named, *source.tree.passed()):
                if isinstance(value, Function):
                    value.guarded = True

    def guarded(self, within: Function) -> bool:
        """Whether an error in the function may be caught."""
        place: Function | None = within
        while place:
            if place.guarded:
                return True
            place = place.parent
        return False


_LIBRARIES = frozenset({"string", "table", "math", "os", "io", "coroutine", "debug", "bit", "json", "ffi", "jit",
                        "utf8", "package", "_G"})  # fmt: skip
_PREFIXES: Mapping[Path, Path] = {
    ("integrations", "replicate"): ("replicate",),
    ("replicate", "default"): ("replicate",),
}


def _short(path: Path) -> Path:
    """The shortest path that names the same global."""
    if path[0] == "app" and len(path) > 1:
        path = path[1:]
    while path[:2] in _PREFIXES:
        path = (*_PREFIXES[path[:2]], *path[2:])
    return path


def _word(node: Node | None) -> str | None:
    return node.string if isinstance(node, Constant) else None


def _handed_on(tree: Tree) -> set[str]:
    """The globals that are used, directly or through a local, for more than a call or a field with a constant name."""
    indexed: dict[int, int] = {}
    plain = set()
    for index in (*tree.indexes, *tree.fields):
        base = index.base
        if isinstance(base, Name) and (isinstance(index.key, Constant) or base.text != "_G"):
            plain.add(id(base))
            if base.local:
                indexed[id(base.local)] = indexed.get(id(base.local), 0) + 1
    plain |= {id(call.callee) for call in tree.calls}
    for local in tree.locals:
        if isinstance(local.value, Name) and local.reads <= indexed.get(id(local), 0) + local.calls:
            plain.add(id(local.value))
    return {name.text for name in tree.names if id(name) not in plain}


def operands(operation: Operation) -> Iterator[Node]:
    yield operation.left
    if operation.right:
        yield operation.right
