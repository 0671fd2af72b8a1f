"""Uses of the public names, as in programs. Type checkers read this file, and the tests also run it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

from kosmolua import Answer, Caps, Entry, Host, KosmoError, Limits, Prompter, Question, Reply, Result, ScriptRun


class Careful:
    """A prompter that allows only calls that cost nothing."""

    def ask(self, question: Question) -> Answer | None:
        arguments: Mapping[str, Any] = question.arguments
        return "once" if question.access == "read" and arguments is not None else "no"


def account() -> str:
    with Host(emulate=True, isolation="none") as host:
        name: str = host.call("get_account")["username"]
        return name


def flow(file: Path) -> list[Any]:
    calls: list[str] = []

    def note(entry: Entry) -> None:
        calls.append(f"{entry.function} {entry.outcome} {entry.duration_ms:.0f}")

    prompter: Prompter = Careful()
    with Host(
        emulate=True,
        read="allow",
        write="ask",
        prompter=prompter,
        isolation="strict",
        limits=Limits(cpu=5.0, memory=64 * 1024 * 1024, output=None, time=60.0),
        caps=Caps(calls=10, predictions=1, cost=0.5),
        allow_read=[str(file.parent)],
        on_call=note,
        on_output=lambda stream, text: calls.append(f"{stream}: {text.strip()}"),
        on_retry=lambda reason, seconds: calls.append(f"{reason} {seconds:.1f}"),
        on_notice=calls.append,
    ) as host:
        result = host.run_file(file, args=["a"])
    assert_type(result, Result)
    assert_type(result.error, KosmoError | None)
    assert_type(result.log, list[Entry])
    assert_type(result.spent, dict[str, float])
    return result.raise_for_error().results


def pages() -> int:
    with Host(emulate=True, isolation="none") as host:
        assert_type(host.request("get_account"), Reply)
        return sum(len(reply.data["results"]) for reply in host.pages("list_collections"))


async def stopped(host: Host, source: str, seconds: float) -> Result:
    run = host.script(source, name="flow.lua")
    assert_type(run, ScriptRun)
    task = asyncio.create_task(asyncio.to_thread(run.result))
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        run.stop("it took too long")
    return await task
