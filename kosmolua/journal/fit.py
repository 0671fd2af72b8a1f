"""Whether a journal fits the run that wants to continue it, and the errors if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any

import msgspec

from kosmolua.errors import JournalError
from kosmolua.journal.arguments import MAX_SHOWN
from kosmolua.journal.records import CallStart, Head, is_of_a_prompt, place_of

_sorted = msgspec.msgpack.Encoder(order="sorted").encode


def check(path: str, facts: Mapping[str, Any], head: Head) -> None:
    if is_of_a_prompt(facts) != head.prompt:
        raise of_a_script(path, facts) if head.prompt else of_a_prompt(path, emulated=bool(facts["emulated"]))
    then, today = (facts["args"], facts.get("named")), (head.args, head.named)
    if _sorted(then) != _sorted(today):
        raise JournalError(
            f"{path} belongs to a run with the arguments {_as_given(*then)}; now they are {_as_given(*today)}",
            hint="pass the same arguments, or choose another journal",
        )
    if bool(facts["emulated"]) != head.emulated:
        was = "the emulator" if facts["emulated"] else "the API itself"
        raise JournalError(
            f"{path} belongs to a run against {was}", hint="use --emulate as in that run, or choose another journal"
        )
    if not head.prompt and facts["account"] != head.account:
        raise JournalError(
            f"{path} belongs to a run on account {facts['account']}; now the account is {head.account}",
            hint=f"use --account {facts['account']}, or choose another journal",
        )


def _as_given(args: list[str], named: Mapping[str, Any] | None) -> str:
    return str(args if named is None else named)[:MAX_SHOWN]


def of_a_prompt(path: str, *, emulated: bool) -> JournalError:
    """The error for a script that would continue a journal of the prompt."""
    emulate = " --emulate" if emulated else ""
    return JournalError(
        f"{path} belongs to a session at the prompt, not to a script",
        hint=f"continue it at the prompt: kosmo repl --journal {quote(path)}{emulate}; or choose another journal",
    )


def of_a_script(path: str, facts: Mapping[str, Any]) -> JournalError:
    return JournalError(
        f"{path} belongs to a run of the script {facts['script']}, not to a session at the prompt",
        hint=f"continue it: kosmo runs resume {quote(path)}; or choose another journal",
    )


def mismatch(path: str, was: CallStart, now: CallStart | None, *, prompt: bool) -> JournalError:
    here, there = (place_of(each.task, each.request, prompt=prompt) if each else "" for each in (was, now))
    elsewhere = f"{there}: " if there not in {"", here} else ""
    who = "input" if prompt else "script"
    hint = "if the script or its input changed, discard the rest of the journal: --from-here"
    if prompt:
        hint = f"enter the inputs of that session, or discard the rest of the journal: :journal {path} --from-here"
    return JournalError(
        f"the {who} differs from its journal {path} at {here}; nothing was sent\n"
        f"  the journal: {was}\n  {f'the {who}:':<12} {elsewhere}{now or 'asks for nothing more'}",
        hint=hint,
    )
