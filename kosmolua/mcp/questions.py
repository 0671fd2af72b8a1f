"""Turns questions of the gate into elicitations, and clients' results into answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.gate.prompt import Answer, Question, render

_CHOICE = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "string",
            "title": "Allow this call?",
            "enum": ["no", "once", "run"],
            "description": "once: this call only; run: this function until the run, or this server, ends",
        }
    },
    "required": ["answer"],
}
FORM_MODE = "2025-11-25"
"""The first version whose elicitations name their mode."""


def elicitation(question: Question, version: str) -> dict[str, Any]:
    """The parameters of `elicitation/create`. Parts of the question that come from the script are escaped."""
    message = render(question, columns=100, rows=30).rpartition("[o]nce")[0].rstrip()
    mode = {"mode": "form"} if version >= FORM_MODE else {}
    return {**mode, "message": message, "requestedSchema": _CHOICE}


def input_required(question: Question, state: str) -> dict[str, Any]:
    """The result that asks the client to call again with an answer."""
    request = {"method": "elicitation/create", "params": elicitation(question, FORM_MODE)}
    return {"resultType": "input_required", "requestState": state, "inputRequests": {"approval": request}}


def answer_of(result: Any) -> Answer | None:
    """The answer in the result of an elicitation; None if the client could not ask."""
    if not isinstance(result, Mapping):
        return None
    content = result.get("content")
    chosen = content.get("answer") if isinstance(content, Mapping) else None
    accepted = result.get("action") == "accept"
    if accepted and chosen == "once":
        return "once"
    return "run" if accepted and chosen == "run" else "no"
