"""Rewords errors so that an agent can act on them: an agent has tools and a person to report to, but no terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kosmolua.errors import KosmoError

_Replace = str | Callable[[re.Match[str]], str]

_MESSAGES: tuple[tuple[str, str], ...] = (("you refused it", "the person refused it"),)
_REPORT = "report this to the person and do not work around it; they can "
_NOT_AGAIN = "do not repeat the call unless the person asks for it"
_BY_THEM = "or ask the person to create it"
_OPENED = _REPORT + r"start the server with \1"
_ALLOW = re.compile(
    r"allow it for this command: --(read|write) allow(?:, or always: (.*?))?(?:, or [^,]*--force)?$", re.DOTALL
)
_CHANGE = re.compile(r"^((?:change|add a) rule .*?)(?:, or [^,]*--force)?$", re.DOTALL)  # changes a file of the person
_HINTS: tuple[tuple[re.Pattern[str], _Replace, _Replace], ...] = (  # for code mode and single tools
    (
        re.compile(r"see its parameters: kosmo integrations:replicate (\w+) --help"),
        r'see its parameters: read_docs {"name": "\1"}',
        r"see its parameters: the inputSchema of this tool",
    ),
    (
        re.compile(r"list all functions: kosmo integrations:replicate"),
        "find functions: search_docs",
        "list the tools: tools/list",
    ),
    (
        re.compile(r"kosmo integrations:docs (?:replicate\.)?(\w+)"),
        r'read_docs {"name": "\1"}',
        r"the resource kosmolua://docs/\1",
    ),
    (
        re.compile(r"see its inputs: kosmo model ([^ ,]+)"),
        r"see its inputs: latest_version.openapi_schema of get_model for \1",
        r"see its inputs: latest_version.openapi_schema of get_model for \1",
    ),
    (re.compile(r"^allow a directory: (--allow-(?:read|write) DIR)"), _OPENED, _OPENED),
    (_ALLOW, lambda found: _allowing(*found.groups()), lambda found: _allowing(*found.groups())),
    (_CHANGE, _REPORT + r"\1", _REPORT + r"\1"),
    (re.compile("run the command again to be asked again"), _NOT_AGAIN, _NOT_AGAIN),
    (re.compile("or run it on a terminal to be asked"), _BY_THEM, _BY_THEM),
)


def fields_of(error: KosmoError, *, code: bool) -> dict[str, Any]:
    """The fields of an error, worded for an agent in ``code`` mode or for one with single tools."""
    fields = error.to_dict()
    for old, new in _MESSAGES:
        fields["message"] = fields["message"].replace(old, new)
    if fields.get("hint"):
        fields["hint"] = reworded(fields["hint"], code=code)
    return fields


def reworded(hint: str, *, code: bool) -> str:
    """A hint reworded for an agent: a step that only a person can take becomes something to report."""
    for pattern, in_code, with_tools in _HINTS:
        hint = pattern.sub(in_code if code else with_tools, hint)
    return hint if "kosmo " not in hint or hint.startswith(_REPORT) else f"report it to the person, who can {hint}"


def _allowing(access: str, always: str | None) -> str:
    change = always or f"kosmo integrations:configure replicate --{access} allow"
    change = change if change.startswith("change ") else f"run {change}"
    return f"{_REPORT}start the server with --{access} allow, or, if their configuration denies it, {change}"
