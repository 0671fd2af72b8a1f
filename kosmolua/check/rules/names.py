"""Missing global names and fields of the sandbox's tables."""

from __future__ import annotations

from collections.abc import Iterable

from kosmolua.check.look import Look
from kosmolua.check.names import BORROWED, FOREIGN, HELPERS, HOSTS, STANDARD, nearest
from kosmolua.check.program import Path, Source, operands
from kosmolua.check.tree import Index, Name, Table, Tree
from kosmolua.replicate.catalogue import BY_NAME, PROVIDER
from kosmolua.replicate.namespaces import NAMESPACES

_MIN_LETTERS = 4  # letters that a name needs to count as misspelled if it is only read
_DEEP = 3
_ABSENT = "not available in scripts"
_ELSEWHERE = {  # names of functions in other languages
    **dict.fromkeys(("json.loads", "json.parse", "json.load"), "json.decode(text)"),
    **dict.fromkeys(("json.dumps", "json.stringify", "json.dump"), "json.encode(value)"),
    **dict.fromkeys(("string.join", "table.join"), 'table.concat(list, ", ")'),
    **dict.fromkeys(("table.push", "table.append", "table.add"), "table.insert(list, value)"),
}


def _uses(tree: Tree) -> dict[int, str]:
    """How the value of each node is used, if that use of nil is an error."""
    found = {id(call.callee): "call" for call in tree.calls}
    found |= {id(index.base): "index" for index in (*tree.indexes, *tree.fields)}
    found |= {id(one): "use" for operation in tree.operations for one in operands(operation)}
    found |= {id(loop.expressions[0]): "iterate over" for loop in tree.loops if len(loop.expressions) == 1}
    return found


def globals_(look: Look, source: Source) -> None:
    """Globals that are never assigned."""
    program, known = look.program, look.world.known
    unknown = [
        name
        for name in source.tree.names
        if name.text not in known and name.text not in program.assigned and (name.text,) not in program.tested
    ]
    if not unknown:
        return
    uses = _uses(source.tree)
    for name in unknown:
        how = uses.get(id(name))
        if name.text in STANDARD:
            if how in {"call", "use", "iterate over"} or (how == "index" and not STANDARD[name.text]):
                look.report(
                    name.at, "warning", "not_available", f"{name.text} is {_ABSENT}", _instead(name.text), name.within
                )
        elif name.text in HOSTS or look.is_part:
            look.report(name.at, "warning", "not_available", f"{name.text} is {_ABSENT}", None, name.within)
        elif not program.opaque:
            _unknown(look, source, name, how)


def _unknown(look: Look, source: Source, name: Name, how: str | None) -> None:
    text = name.text
    if text in FOREIGN:
        hint = f"Write {FOREIGN[text]}."
        look.report(name.at, "error", "unknown_name", f"{text} is not a value in Lua", hint, name.within)
        return
    near = _near(look, source, text)
    suggestion = f"; did you mean {near}?" if near else ""
    if how:
        severity = "warning" if look.is_plain and not (near and len(text) >= _MIN_LETTERS) else "error"
        message = f"unknown name {text}, which is nil: cannot {how} it{suggestion}"
        look.report(name.at, severity, "unknown_name", message, _hint(near, text), name.within)  # type: ignore[arg-type]
    else:
        severity = "error" if near and len(text) >= _MIN_LETTERS and not look.is_plain else "warning"
        message = f"{text} is never assigned, so it is nil{suggestion}"
        look.report(name.at, severity, "unknown_name", message, _hint(near, text), name.within)  # type: ignore[arg-type]


def _near(look: Look, source: Source, name: str) -> str | None:
    return nearest(name, [*look.world.known, *look.program.assigned, *(local.name for local in source.tree.locals)])


def _hint(near: str | None, name: str = "") -> str:
    if name == "custom":
        return "Pass your functions to the run: kosmo lua --functions MODULE:NAME."
    if name in BY_NAME or name in HELPERS:
        return f"Write {PROVIDER}.{name}."
    return "Correct the name." if near else "Assign it first, or define the function."


def _instead(name: str) -> str | None:
    """The replacement in a script."""
    ways = {
        "io": "Use file(path):read(), write_file(path, text) and append_file(path, text).",
        "os": "Use write_file(path, text) for files, and kosmo in a shell script for processes.",
        "getfenv": 'Use load(text, name, "t", env) to run code with globals of its own.',
        "setfenv": 'Use load(text, name, "t", env) to run code with globals of its own.',
        "utf8": 'Use string functions, or regex with the pattern "." for characters.',
    }
    return ways.get(name)


# Fields -----------------------------------------------------------------------------------------------------------


def fields(look: Look, source: Source) -> None:
    """Fields that the sandbox's own tables lack: `string.fromat`, `replicate.get_predicton`."""
    program = look.program
    uses: dict[int, str] = {}
    for index in source.tree.indexes:
        path = program.path(index)
        if path is None or len(path) < 2 or path[0] in program.loose:  # noqa: PLR2004 - a table and a name
            continue
        if _is_assigned(program.fields, path):
            continue
        if path[0] in {PROVIDER, "integrations"}:
            _provider(look, index, path)
        elif len(path) == 2 and path[1] not in look.world.known.get(path[0], ()):  # noqa: PLR2004 - as above
            uses = uses or _uses(source.tree)
            _library(look, index, path, uses.get(id(index)))
    _string_methods(look, source)


def _is_assigned(assigned: set[Path], path: Path) -> bool:
    return any(path[:size] in assigned or (*path[: size - 1], "*") in assigned for size in range(2, len(path) + 1))


def _library(look: Look, index: Index, path: Path, how: str | None) -> None:
    library, name = path
    fields = look.world.known.get(library, frozenset[str]())
    if not fields and library not in STANDARD:
        return  # not a table of names
    if path in look.program.tested:
        return
    dotted = f"{library}.{name}"
    if name in STANDARD.get(library, ()):
        if how:
            look.report(index.at, "warning", "not_available", f"{dotted} is {_ABSENT}", _instead(library), index.within)
    elif fields:
        near = nearest(name, fields)
        suggestion = f"; did you mean {library}.{near}?" if near else ""
        severity = "error" if how else "warning"
        message = f"unknown name {dotted}, which is nil{suggestion}"
        hint = f"Write {_ELSEWHERE[dotted]}." if dotted in _ELSEWHERE else _hint(near)
        look.report(index.at, severity, "unknown_name", message, hint, index.within)  # type: ignore[arg-type]


def _string_methods(look: Look, source: Source) -> None:
    """Methods of string literals: `("x"):fromat()`."""
    _borrowed(look, source)
    known = look.world.known["string"]
    if "string" in look.program.loose or any(name.text == "getmetatable" for name in source.tree.names):
        return
    for call in source.tree.calls:
        if call.method is None or call.method in known or _is_assigned(look.program.fields, ("string", call.method)):
            continue
        if isinstance(look.literal(call.callee), str):
            near = nearest(call.method, known)
            suggestion = f"; did you mean {near}?" if near else ""
            message = f"strings have no method {call.method}{suggestion}"
            look.report(call.at, "error", "unknown_name", message, _hint(near), call.within)


def _borrowed(look: Look, source: Source) -> None:
    """String methods of other languages, unless the program defines a method with that name."""
    for call in source.tree.calls:
        way = BORROWED.get(call.method or "")
        is_text = not isinstance(look.program.value(call.callee), Table)
        if way and is_text and call.method not in look.program.members and not look.program.opaque:
            message = f"strings have no method {call.method} in Lua"
            look.report(call.at, "warning", "unknown_name", message, f"Write {way}.", call.within)


def _provider(look: Look, index: Index, path: Path) -> None:
    """A name read from the table of a provider or account. Reading an unknown name raises an error."""
    if path[0] == "integrations":
        message = f"unknown integration {path[1]}; there is {PROVIDER}"
        look.report(index.at, "error", "unknown_function", message, f"Write {PROVIDER}.", index.within)
        return
    fields, accounts = look.world.known.get(PROVIDER, frozenset[str]()), look.world.accounts
    if path[1] in BY_NAME or path[1] in HELPERS or path[1] in fields:
        return
    is_account = accounts is not None and path[1] in accounts
    if len(path) == 2 and not is_account:  # noqa: PLR2004 - the table's own member
        _unknown_function(look, index, path[1])
    elif len(path) == _DEEP and is_account and path[2] not in BY_NAME and path[2] not in HELPERS:
        _unknown_function(look, index, path[2])


def _unknown_function(look: Look, index: Index, name: str) -> None:
    if name in NAMESPACES:
        message = f"{PROVIDER}.{name}: functions have no namespaces here"
        look.report(index.at, "error", "unknown_function", message, f"Use {NAMESPACES[name]}.", index.within)
        return
    near = nearest(name, [*_own_names(), *HELPERS])
    message = f"unknown function {PROVIDER}.{name}" + (f"; did you mean {near}?" if near else "")
    doubtful = not near and look.world.accounts is None  # may be an account on the machine that runs the script
    hint = None if near else "See all functions: kosmo integrations:list replicate"
    look.report(index.at, "warning" if doubtful else "error", "unknown_function", message, hint, index.within)


def _own_names() -> Iterable[str]:
    return (name for name in BY_NAME if "." not in name)
