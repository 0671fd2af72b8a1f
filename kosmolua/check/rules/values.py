"""Values that are always nil, or always of the wrong type."""

from __future__ import annotations

from kosmolua.check.look import Look, kind
from kosmolua.check.program import Source
from kosmolua.check.program import operands as operands_of
from kosmolua.check.rules.helpers import helper_of
from kosmolua.check.tree import Call, Constant, Function, Index, Local, Loop, Name, Node, Operation, Table

_ARITHMETIC = frozenset("+-*/%^")
_VERBS = {"..": "concatenate", "#": "get the length of", **dict.fromkeys(("<", ">", "<=", ">="), "compare")}
_LISTS = frozenset({"run", "parallel"})
_SILENT = frozenset({("print",), ("log",), ("sleep",)})  # return nothing
_FUNCTIONS = frozenset(
    {
        *("print", "log", "dump", "run", "wait", "stream", "each", "download", "parallel", "race", "spawn", "sleep"),
        *(
            "write",
            "write_file",
            "append_file",
            "load",
            "time",
            "require",
            "type",
            "tostring",
            "tonumber",
            "pairs",
            "ipairs",
        ),
    }
)


def operands(look: Look, source: Source) -> None:
    for operation in source.tree.operations:
        if operation.operator in _VERBS or operation.operator in _ARITHMETIC:
            for node in operands_of(operation):
                _operand(look, operation, node)
    for index in source.tree.indexes:
        _use(look, index.base, "index", index.within)
    for call in source.tree.calls:
        _use(look, call.callee, "index" if call.method else "call", call.within)


def _operand(look: Look, operation: Operation, node: Node) -> None:
    verb = _VERBS.get(operation.operator, "do arithmetic on")
    other = operation.right if node is operation.left else operation.left
    if operation.operator in _ARITHMETIC and _is_words(node):
        severity = "error" if other is None or _is_plain(other) else "warning"
        message = "cannot do arithmetic on text that is not a number"
        hint = "Write .. to join texts." if operation.operator == "+" else None
        look.report(node.at, severity, "wrong_value", message, hint, operation.within)  # type: ignore[arg-type]
        return
    if other and not _is_plain(other):
        return  # it may have a metatable that handles nil
    if isinstance(node, Constant) and node.kind in {"nil", "boolean"}:
        hint = "Write tostring(…) around it." if operation.operator == ".." else None
        look.report(node.at, "error", "wrong_value", f"cannot {verb} a {node.kind} value", hint, operation.within)
    else:
        _use(look, node, verb, operation.within)


def _is_words(node: Node) -> bool:
    text = node.string if isinstance(node, Constant) else None
    return text is not None and not any(letter.isdigit() for letter in text)


def _is_plain(node: Node) -> bool:
    """Whether an operand is a text or number, or an expression of those."""
    if isinstance(node, Operation):
        return _is_plain(node.left) and (node.right is None or _is_plain(node.right))
    return isinstance(node, Constant) and node.kind in {"string", "number", "nil", "boolean"}


def _use(look: Look, node: Node, verb: str, within: Function) -> None:
    """Report a use that fails if the value is certainly nil."""
    local = _never_assigned(node)
    if local:
        message = f"cannot {verb} {local.name}, which is nil: nothing is assigned to it"
        look.report(node.at, "error", "wrong_value", message, "Assign it first.", within)
        return
    value = look.program.value(node)
    name = _without_result(look, value)
    if name and isinstance(value, Call):
        message = f"cannot {verb} the result of {name}, which is nil: the function returns nothing"
        hint = f"Write {name}(…) around the whole text." if verb == "concatenate" else f"Add a return to {name}."
        look.report(node.at, "error", "wrong_value", message, hint, within)
        return
    path = look.program.path(node)
    if verb == "index" and path and len(path) == 1 and path[0] in _FUNCTIONS and path[0] not in look.program.loose:
        message = f"cannot index {path[0]}, which is a function"
        look.report(
            node.at, "error", "wrong_value", message, f"See how it is called: kosmo integrations:docs {path[0]}", within
        )


def _never_assigned(node: Node) -> Local | None:
    local = node.local if isinstance(node, Name) else None
    is_nil = local is not None and isinstance(local.value, Constant) and local.value.kind == "nil"
    return local if local and is_nil and not local.writes else None


def _without_result(look: Look, node: Node | None) -> str | None:
    """The name of the called function if it never returns a value."""
    if not isinstance(node, Call) or node.method or not isinstance(node.callee, Name):
        return None
    if look.program.path(node.callee) in _SILENT:
        return node.callee.text
    function = look.program.value(node.callee)
    return node.callee.text if isinstance(function, Function) and not function.returns else None


# Loops ------------------------------------------------------------------------------------------------------------


def loops(look: Look, source: Source) -> None:
    for loop in source.tree.loops:
        if len(loop.expressions) == 1:
            _loop(look, loop)


def _loop(look: Look, loop: Loop) -> None:
    node = loop.expressions[0]
    if isinstance(node, Table | Constant) and not (isinstance(node, Constant) and node.kind == "..."):
        message = f"cannot iterate over a {kind(look.program, node)} itself"
        look.report(node.at, "error", "wrong_value", message, "Write for _, item in ipairs(…) do.", loop.within)
    elif look.program.path(node) in {("pairs",), ("ipairs",)}:
        look.report(
            node.at, "error", "wrong_value", "the table to iterate over is missing", "Write pairs(t).", loop.within
        )
    elif isinstance(node, Name) and _is_list(look, node):
        message = f"{node.text} is a list, not an iterator"
        hint = f"Write for _, item in ipairs({node.text}) do."
        look.report(node.at, "warning", "wrong_value", message, hint, loop.within)
    else:
        _use(look, node, "iterate over", loop.within)


def lengths(look: Look, source: Source) -> None:
    """Fields such as `images.length`, and `ipairs()` without a table."""
    for index in source.tree.indexes:
        word = index.key.string if isinstance(index.key, Constant) else None
        if word in {"length", "size", "count"} and isinstance(index.base, Name) and _is_list(look, index.base):
            hint = f"Write #{index.base.text}."
            look.report(index.at, "warning", "wrong_value", f"lists have no {word}", hint, index.within)
    for call in source.tree.calls:
        path = look.program.path(call.callee)
        if call.method is None and not call.arguments and path in {("pairs",), ("ipairs",)}:
            hint = f"Write {path[0]}(t)."
            look.report(call.at, "error", "wrong_value", "the table to iterate over is missing", hint, call.within)


def _is_list(look: Look, node: Node) -> bool:
    """Whether a variable only ever holds a list, from a helper or a constructor."""
    if isinstance(node, Name) and node.local and node.local.fields:
        return False
    value = look.program.value(node)
    helper = helper_of(look, value) if isinstance(value, Call) else None
    return helper is not None and helper[0] in _LISTS


def lists(look: Look, source: Source) -> None:
    """Item 0 of a list: lists begin at 1."""
    for index in source.tree.indexes:
        is_zero = isinstance(index.key, Constant) and index.key.kind == "number" and index.key.text == "0"
        if is_zero and isinstance(index.base, Name | Index) and _is_result(look, index.base):
            hint = "The first item is [1]."
            look.report(index.at, "warning", "wrong_value", "lists begin at 1: item 0 is nil", hint, index.within)


def _is_result(look: Look, node: Node) -> bool:
    if look.program.path(node) == ("args",):
        return True
    if isinstance(node, Index):
        return isinstance(node.key, Constant) and node.key.string == "output"
    return _is_list(look, node)
