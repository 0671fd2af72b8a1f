"""Renders the data of `kosmolua.manual.reference.page` for a terminal and as Markdown."""

from __future__ import annotations

from typing import Any

from kosmolua.terminal.text import heading, painted, table, wrapped

INTERFACES = {
    "call": "Generic call",
    "shortcut": "Shortcut, with flags",
    "stdin": "JSON on standard input",
    "lua": "Lua",
}


def shown(page: dict[str, Any]) -> str:
    """The page as aligned text."""
    parts = [
        f"{heading(page['function'])}  {_access(page['access'])}  {page['method']} {page['path']}",
        wrapped(" ".join(filter(None, [page["summary"], page["note"]]))),
        wrapped(_facts(page)),
        f"{heading('parameters')}\n{_parameters(page)}",
        f"{heading('returns')}  {page['returns']['type'] or 'nothing'}\n{_returns(page['returns'])}",
        f"{heading('errors')}\n{_errors(page)}",
        *(f"{heading(title)}\n{_indented(page['examples'][interface])}" for interface, title in INTERFACES.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def brief(page: dict[str, Any], command: str) -> str:
    """The text of ``FUNCTION --help``: usage, parameters, an example."""
    prefix = "" if command == "integrations:replicate" else "replicate."
    example = page["examples"]["shortcut" if not prefix else "call"]
    parts = [
        f"usage: kosmo {command} {prefix}{page['name']} [JSON] [--NAME VALUE ...] [FLAGS]",
        wrapped(" ".join(filter(None, [page["summary"], page["note"]]))),
        wrapped(_facts(page)),
        f"{heading('parameters')}\n{_parameters(page, 'flag')}",
        f"{heading('returns')}  {page['returns']['type'] or 'nothing'}: {page['returns']['description']}",
        f"{heading('example')}\n{_indented(example)}",
        f"Common flags: kosmo {command} --help\nFull documentation: kosmo integrations:docs replicate.{page['name']}",
    ]
    return "\n\n".join(part for part in parts if part)


def _access(access: str) -> str:
    return painted(access, "green" if access == "read" else "yellow")


def _facts(page: dict[str, Any]) -> str:
    facts = {
        "blocking": "To wait for the model: --prefer wait.",
        "paged": "Returns one page; to fetch all: --all.",
        "secret": "The answer is a secret and is not logged.",
    }
    return " ".join(text for fact, text in facts.items() if page[fact])


def _parameters(page: dict[str, Any], named: str = "name") -> str:
    return table(_parameter(item, named) for item in page["parameters"]) or "  none"


def _parameter(item: dict[str, Any], named: str = "name") -> tuple[str, str, str]:
    return item[named], _kind(item), _about(item)


def _kind(item: dict[str, Any]) -> str:
    return f"{item['type']}{', required' if item['required'] else ''}"


def _about(item: dict[str, Any]) -> str:
    """The description of a parameter and its possible values."""
    bounds = [f"{word} {item[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in item]
    words = [
        item["description"],
        f"One of {', '.join(item['enum'])}." if "enum" in item and item["type"] == "string" else "",
        f"Any of {', '.join(item['enum'])}." if "enum" in item and item["type"] == "array" else "",
        f"{' '.join(bounds).capitalize()}." if bounds else "",
        f"Default: {item['default']}." if item["default"] is not None else "",
        "Deprecated." if item.get("deprecated") else "",
    ]
    return " ".join(filter(None, words))


def _returns(returns: dict[str, Any]) -> str:
    return "\n".join(filter(None, [wrapped(returns["description"], "  "), table(map(_field, returns["fields"]))]))


def _field(field: dict[str, Any]) -> tuple[str, str, str]:
    kind, rest = field["type"], field["description"]
    if "|" in kind:  # a list of values is too wide for a column
        kind, rest = "string", f"{kind}. {rest}"
    return field["name"], kind + (", optional" if field["optional"] else ""), rest


def _errors(page: dict[str, Any]) -> str:
    return table(map(_error, page["errors"]))


def _error(error: dict[str, Any]) -> tuple[str, str, str]:
    return error["code"], f"exit {error['exit_status']}", error["when"]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


# Markdown ---------------------------------------------------------------------------------------------------------


def markdown(page: dict[str, Any]) -> str:
    """The page as Markdown, for files and agents."""
    returns = page["returns"]
    parts = [
        f"# {page['function']}",
        " ".join(filter(None, [page["summary"], page["note"], _facts(page)])),
        f"Access `{page['access']}`, `{page['method']} {page['path']}`. Names: `{'`, `'.join(page['names'])}`.",
        "## Parameters",
        _grid(("name", "type", "description"), map(_parameter, page["parameters"])) or "None.",
        "## Returns",
        " ".join(filter(None, [f"`{returns['type']}`." if returns["type"] else "", returns["description"]])),
        _fields(returns["fields"]),
        "## Errors",
        _grid(("code", "status", "when"), map(_error, page["errors"])),
        "## Examples",
        *(_example(title, page["examples"][interface], interface) for interface, title in INTERFACES.items()),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def reference_markdown(overview: dict[str, Any], pages: list[dict[str, Any]], helpers: dict[str, str]) -> str:
    """All functions on one page, with each result type once. ``helpers`` maps each script helper to a line about it."""
    name = overview["provider"]
    rows = ((f"[{page['name']}](#{page['name']})", page["access"], page["summary"]) for page in pages)
    kinds = {_element(page["returns"]): page["returns"]["fields"] for page in pages if not page["paged"]}
    codes = {error["code"]: str(error["exit_status"]) for page in pages for error in page["errors"]}
    parts = [
        f"# {overview['title']}, function by function",
        f"Generated by `kosmo integrations:docs {name} --markdown`; changes here are lost.",
        f"{overview['summary']} A script calls `{name}.FUNCTION{{…}}`, a shell `kosmo integrations:{name} FUNCTION`.",
        _grid(("function", "access", "what it does"), rows),
        *map(_section, pages),
        "## Result types",
        "Optional fields may be absent. In Lua, null fields are absent too.",
        *(f"### {kind}\n\n{_fields(fields)}" for kind, fields in sorted(kinds.items()) if fields),
        "## Error codes",
        _grid(("code", "exit status"), codes.items()),
        "## Helpers for scripts",
        "[Writing workflows](workflows.md) shows how to use them.",
        _grid(("name", "what it does"), helpers.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _section(page: dict[str, Any]) -> str:
    parts = [
        f"### {page['name']}",
        " ".join(filter(None, [page["summary"], page["note"], _facts(page)])),
        f"A {page['access']}: `{page['method']} {page['path']}`. {_returned(page['returns'])}",
        _grid(("parameter", "type", "description"), map(_parameter, page["parameters"])),
        _example("Lua", page["examples"]["lua"], "lua"),
        _example("Shell", page["examples"]["shortcut"], "shortcut"),
    ]
    return "\n\n".join(filter(None, parts))


def _returned(returns: dict[str, Any]) -> str:
    if not returns["fields"]:
        return f"Returns {returns['type'] or 'nothing'}."
    link = f"[{_element(returns)}](#{_element(returns).lower()})"
    if returns["type"].startswith("Page<"):
        return f"Returns a page: `next`, `previous`, and `results`, a list of {link}."
    return f"Returns a list of {link}." if returns["type"].endswith("[]") else f"Returns {link}."


def _element(returns: dict[str, Any]) -> str:
    """The name of the type; for a list or a page, the name of its element type."""
    return (returns["type"] or "").removesuffix("[]").removeprefix("Page<").removesuffix(">")


def _fields(fields: list[dict[str, Any]]) -> str:
    return _grid(("field", "type", "description"), map(_field, fields))


def _grid(head: tuple[str, ...], rows: Any) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]) if lines else ""


def _example(title: str, text: str, interface: str) -> str:
    return f"{title}:\n\n```{'lua' if interface == 'lua' else 'sh'}\n{text}\n```"
