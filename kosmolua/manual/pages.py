"""The documentation by name, for scripts and agents: of each function, of what scripts find beside them, of topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kosmolua.errors import UsageError
from kosmolua.manual import reference, stubs
from kosmolua.manual.search import MAX_QUERY
from kosmolua.manual.search import search as search_functions
from kosmolua.manual.topics import title, topics
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import OPERATIONS, Operation

MAX_HITS = 10
_SMALL = 3  # letters


def entries() -> list[dict[str, str]]:
    """Every page: its name, its kind ("read" or "write" for a function of the API, else "helper" or "page"), and what
    it is about.
    """
    return [*map(_function, OPERATIONS), *_helpers(), *_topics()]


def search(query: str) -> list[dict[str, str]]:
    """The pages that fit, best first: functions, then helpers and topics."""
    words = query[:MAX_QUERY].lower().split()
    others = [(_fit(entry, words), entry) for entry in (*_helpers(), *_topics())]
    others = sorted((pair for pair in others if pair[0]), key=lambda pair: -pair[0])[: MAX_HITS // 2]
    functions = [_function(hit.operation) for hit in search_functions(query)]
    return [*functions[: MAX_HITS - len(others)], *(entry for _, entry in others)]


def read(name: str, more: Mapping[str, str] = {}) -> str:
    """The page of that name, as Markdown; ``more`` are pages beside these. Raises a `UsageError` with the nearest."""
    pages = {**more, **topics()}
    if name in pages:
        return pages[name]
    operation = catalogue.find(name)
    if operation:
        return function(operation)
    helper = stubs.helper(name)
    if helper:
        return f"# {name}\n\n```lua\n{helper}\n```\n"
    from difflib import get_close_matches

    near = get_close_matches(name[:100], [*more, *(entry["name"] for entry in entries())], n=3)
    raise UsageError(
        f"no page is called {name[:100]!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="not_found",
        hint=f"pages: {', '.join(pages)}; search for functions",
    )


def _fit(entry: dict[str, str], words: list[str]) -> int:
    """How well it fits; a word of three letters or less is a name, or fits everything."""
    summary = entry["summary"].lower()
    told = sum(word in summary for word in words if len(word) > _SMALL)
    return told + len(words) * (entry["name"].lower() in words)


def _entry(name: str, kind: str, summary: str) -> dict[str, str]:
    return {"name": name, "kind": kind, "summary": summary}


def _function(operation: Operation) -> dict[str, str]:
    return _entry(operation.name, operation.access, operation.summary)


def _helpers() -> Iterator[dict[str, str]]:
    return (_entry(name, "helper", about) for name, about in stubs.summaries().items())


def _topics() -> Iterator[dict[str, str]]:
    return (_entry(name, "page", title(text)) for name, text in topics().items())


def function(operation: Operation) -> str:
    """Everything a script needs to know of a function."""
    page = reference.page(operation)
    returns = page["returns"]
    facts = [
        'It can hold the answer back until the model is done: prefer = "wait".' if page["blocking"] else "",
        "It answers page by page." if page["paged"] else "",
        "Its answer is a secret." if page["secret"] else "",
    ]
    parts = [
        f"# {operation.name} ({operation.access})",
        " ".join(filter(None, [page["summary"], page["note"], *facts])),
        "## Parameters",
        "\n".join(map(_parameter, page["parameters"])) or "None: call it with {}.",
        f"## Returns {returns['type'] or 'nothing'}",
        "\n".join(filter(None, [returns["description"], *map(_field, returns["fields"])])),
        "## Example",
        f"```lua\n{page['examples']['lua']}\n```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _parameter(item: dict[str, Any]) -> str:
    enum = f" One of {', '.join(item['enum'])}." if "enum" in item else ""
    return f"- {item['name']} ({item['type']}{', required' if item['required'] else ''}): {item['description']}{enum}"


def _field(item: dict[str, Any]) -> str:
    return f"- {item['name']} ({item['type']}{', optional' if item['optional'] else ''}): {item['description']}"
