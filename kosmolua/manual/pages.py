"""The documentation by name, for scripts and agents: functions, script helpers, and topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kosmolua.errors import UsageError
from kosmolua.manual import index, reference, stubs
from kosmolua.manual.helper_examples import EXAMPLES
from kosmolua.manual.topics import title, topics
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import OPERATIONS, Operation

MAX_HITS = 10


def entries() -> list[dict[str, str]]:
    """All pages: name, summary, and kind ("read" or "write" for an API function, else "helper" or "page")."""
    return [*map(_function, OPERATIONS), *_helpers(), *_topics()]


def search(query: str) -> list[dict[str, str]]:
    """The matching pages, best first."""
    return [_found(each) for each in index.find(query)[:MAX_HITS]]


def _found(found: index.Found) -> dict[str, str]:
    if found.hit:
        return _function(found.hit.operation)
    page = found.page
    return _entry(page.name, "helper" if page.kind == "helper" else "page", page.summary) if page else {}


def read(name: str, more: Mapping[str, str] = {}) -> str:
    """The named page as Markdown; ``more`` are further pages. For an unknown name, raises a `UsageError` with similar
    names.
    """
    pages = {**more, **topics()}
    if name in pages:
        return pages[name]
    operation = catalogue.find(name)
    if operation:
        return function(operation)
    helper = stubs.helper(name)
    if helper:
        example = f"\n## Example\n\n```lua\n{EXAMPLES[name]}\n```\n" if name in EXAMPLES else ""
        return f"# {name}\n\n```lua\n{helper}\n```\n{example}"
    from kosmolua.replicate.nearest import nearest

    near = nearest(name, [*more, *(entry["name"] for entry in entries())], most=3)
    raise UsageError(
        f"unknown page {name[:100]!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="not_found",
        hint=f"search the pages, or read one of {', '.join(pages)}",
    )


def _entry(name: str, kind: str, summary: str) -> dict[str, str]:
    return {"name": name, "kind": kind, "summary": summary}


def _function(operation: Operation) -> dict[str, str]:
    return _entry(operation.name, operation.access, operation.summary)


def _helpers() -> Iterator[dict[str, str]]:
    return (_entry(name, "helper", about) for name, about in stubs.summaries().items())


def _topics() -> Iterator[dict[str, str]]:
    return (_entry(name, "page", title(text)) for name, text in topics().items())


def function(operation: Operation) -> str:
    """The page of a function for a script, as Markdown."""
    page = reference.page(operation)
    returns = page["returns"]
    facts = [
        'To wait for the model: prefer = "wait".' if page["blocking"] else "",
        "Returns one page; `each` iterates over all." if page["paged"] else "",
        "The answer is a secret." if page["secret"] else "",
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
