"""Resources for clients: pages of the documentation, and recent runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from kosmolua.errors import UsageError
from kosmolua.gate import audit
from kosmolua.manual import pages
from kosmolua.manual.topics import title, topics
from kosmolua.mcp import docs

SCHEME = "kosmolua://"
RUNS = f"{SCHEME}runs"
MAX_RUNS, MAX_CALLS = 20, 1000
PROMPT = "replicate_workflow"

TEMPLATES = [
    {
        "name": "function",
        "uriTemplate": f"{SCHEME}functions/{{name}}",
        "description": "A function of the Replicate API: parameters, result, example",
        "mimeType": "text/markdown",
    },
    {
        "name": "run",
        "uriTemplate": f"{RUNS}/{{id}}",
        "description": "The calls of one run, with decisions and outcomes",
        "mimeType": "application/json",
    },
]


def listed() -> list[dict[str, Any]]:
    found = {"workflows": docs.WORKFLOWS, **topics()}
    return [
        *(
            {"name": name, "title": title(text), "uri": f"{SCHEME}docs/{name}", "mimeType": "text/markdown"}
            for name, text in found.items()
        ),
        {"name": "runs", "title": "Recent runs, newest first", "uri": RUNS, "mimeType": "application/json"},
    ]


def read(uri: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The content of a resource. Raises a `UsageError` for an unknown resource."""
    kind, _, name = uri.removeprefix(SCHEME).partition("/")
    if kind in {"docs", "functions"} and name:
        return _content(uri, "text/markdown", page(name))
    if uri == RUNS:
        return _content(uri, "application/json", _json(runs(environment)))
    if kind == "runs":
        calls = [entry for entry in _entries(environment) if entry.get("run") == name]
        if calls:
            return _content(uri, "application/json", _json(calls))
    raise UsageError(f"unknown resource {uri[:200]!r}", hint="list them: resources/list")


def page(name: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """A page of the documentation, the workflow page, or one of ``more``. Raises a `UsageError` that names the most
    similar page.
    """
    return pages.read(name, {"workflows": docs.WORKFLOWS, **more})


def runs(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The most recent runs that made calls, newest first."""
    found: dict[str, dict[str, Any]] = {}
    for entry in _entries(environment):
        name = str(entry.get("run"))
        run = found.setdefault(name, {"run": name, "script": entry.get("script"), "began": entry["at"], "calls": 0})
        run["calls"] += entry.get("count", 1)
        run["last"] = f"{entry.get('function')}: {entry.get('code') or entry.get('outcome', 'error')}"
    return list(found.values())[: -MAX_RUNS - 1 : -1]


def _entries(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    return audit.merged(audit.read(audit.file_of(environment)), MAX_CALLS)


def _content(uri: str, kind: str, text: str) -> dict[str, Any]:
    return {"contents": [{"uri": uri, "mimeType": kind, "text": text}]}


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
