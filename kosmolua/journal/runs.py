"""Finds journals: named ones in ``runs`` of the state directory, and others by a note in that directory."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from shlex import quote
from typing import Any

from msgspec import Struct

from kosmolua.errors import JournalError, UsageError
from kosmolua.gate.budget import Budget
from kosmolua.journal import outputs
from kosmolua.journal.arguments import shown
from kosmolua.journal.journal import Journal, spent
from kosmolua.journal.lock import Holder, holder_of
from kosmolua.journal.records import SPAN, Head, Line, is_of_a_prompt
from kosmolua.journal.sqlite import SqliteStore, decoded, unusable
from kosmolua.journal.store import Store
from kosmolua.replicate.prices import Prices
from kosmolua.replicate.token import looks_like_token
from kosmolua.settings import ages, paths
from kosmolua.settings.paths import outputs_of

SUFFIX, NOTE = ".journal", ".path"
_ID = re.compile(r"[0-9a-f]{12}")  # of a run, here or in a database
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def directory(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), "runs")


def path_of(environment: Mapping[str, str], given: str) -> str:
    """The path of a journal: a word without a dot or a slash is a name, anything else a path."""
    if _NAME.fullmatch(given):
        return os.path.join(directory(environment), given + SUFFIX)
    return os.path.abspath(given)


class FreshStart(Struct, frozen=True):
    """Whether a new run is ``wanted`` instead of the existing one, and ``how`` a person asks for a new run."""

    how: str
    wanted: bool = False


def begin(
    environment: Mapping[str, str],
    given: str,
    head: Head,
    tell: Callable[[str], None],
    fresh_start: FreshStart,
    **how: Any,
) -> Journal:
    """Open the journal of that name or file for a run. ``tell`` gets a notice about its existing content."""
    if fresh_start.wanted:
        retire(environment, path_of(environment, given), tell)
    journal = opened(environment, given, head, tell, **how)
    path = journal.path
    if journal.finished is not None and not journal.script_changed:
        tell(
            f"this run finished at {ages.local_time(journal.finished)}; nothing is sent, and its results are those "
            f"in {path}. To start a new run: {fresh_start.how}"
        )
    elif journal.last:
        changed = "; the script has changed since" if journal.script_changed else ""
        answers = "1 answer is" if journal.last == 1 else f"{journal.last} answers are"
        tell(f"{answers} taken from {path}{changed}")
    return journal


def opened(environment: Mapping[str, str], given: str, head: Head, tell: Callable[[str], None], **how: Any) -> Journal:
    """Open the journal of that name or file, and list it in `found`. ``tell`` gets a notice if that fails."""
    path = path_of(environment, given)
    words = [*head.args, *(each for each in (head.named or {}).values() if isinstance(each, str))]
    if any("\udc80" <= character <= "\udcff" for each in words for character in each):
        raise UsageError("an argument of the script is not UTF-8 text, which a journal needs", hint="pass UTF-8 text")
    try:
        note(environment, path)
    except OSError as error:
        tell(f"kosmo runs will not list this run: cannot write {directory(environment)}: {error.strerror}")
    return Journal(path, head, **how)


def retire(environment: Mapping[str, str], path: str, tell: Callable[[str], None]) -> str | None:
    """Rename a journal and its outputs to a name with its date, to free its name for a new run. Returns the new path,
    None if there is no journal. Raises a `JournalError` for a file that is not a journal or is in use.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    with closing(Holder(path)):
        began = summary(path, held=True).began
        to = _free(path, time.strftime("%Y-%m-%d-%H%M%S", time.localtime(began)))
        try:
            with closing(SqliteStore(path)) as store, store.hold():
                store.merge()
            os.rename(path, to)
            outputs.move(path, to)
            note(environment, to)
        except OSError as error:
            raise unusable(path, error) from None
    name = name_of(environment, to)
    tell(f"the earlier run is kept as {name}: kosmo runs show {quote(name)}")
    return to


def name_of(environment: Mapping[str, str], path: str) -> str:
    """The name of the journal for people, or else its path."""
    where, base = os.path.split(path)
    name = base.removesuffix(SUFFIX)
    return name if where == directory(environment) and name != base and _NAME.fullmatch(name) else path


def _free(path: str, date: str) -> str:
    """An unused path for a journal of that date."""
    stem = path.removesuffix(SUFFIX)
    suffix = path[len(stem) :]
    for number in range(1, 10_000):
        to = f"{stem}-{date}{f'-{number}' if number > 1 else ''}{suffix}"
        if not (os.path.lexists(to) or os.path.lexists(outputs_of(to))):
            return to
    raise JournalError(f"no free name for the earlier run of {path}", hint="remove some: kosmo runs prune")


def note(environment: Mapping[str, str], path: str) -> None:
    """List the journal in `found`. Raises an OSError if the directory cannot be written."""
    where = directory(environment)
    os.makedirs(where, mode=0o700, exist_ok=True)
    if os.path.dirname(path) != where:
        with open(_note_of(where, path), "wb") as file:
            file.write(os.fsencode(path))


def remove(environment: Mapping[str, str], path: str) -> None:
    """Remove a journal. Raises a `JournalError` if it is in use or cannot be removed."""
    where = directory(environment)
    with closing(Holder(path)):
        try:
            outputs.remove(path)
            for file in (_note_of(where, path), path, f"{path}-wal", f"{path}-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(file)
        except OSError as error:
            raise unusable(path, error) from None


def found(environment: Mapping[str, str]) -> list[str]:
    """The paths of all known journals that still exist."""
    where = directory(environment)
    names = sorted(os.listdir(where)) if os.path.isdir(where) else []
    noted = [_noted(os.path.join(where, name)) for name in names if name.endswith(NOTE)]
    named = [os.path.join(where, name) for name in names if name.endswith(SUFFIX)]
    return [path for path in (*named, *noted) if os.path.isfile(path)]


def _note_of(where: str, path: str) -> str:
    return os.path.join(where, hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + NOTE)


def _noted(file: str) -> str:
    with open(file, "rb") as opened:
        return os.fsdecode(opened.read())


# Inspecting journals -----------------------------------------------------------------------------------------------


class Summary(Struct, frozen=True, kw_only=True):
    """A run and its state: "running", "finished", "failed", "waiting" for an approval, "interrupted", or "cut off" if
    its end is unknown.

    ``name`` is its name for people; ``outputs`` is the number of kept output files. ``answers`` counts the finished
    calls, ``open`` the writes whose outcome is unknown. ``spent`` has an amount for each cap, ``guessed`` the estimated
    part of it. ``times`` is how often the run was started. ``named`` are arguments by name. With ``prompt``, it is a
    session at the prompt rather than the run of a script.
    """

    id: str
    script: str
    args: list[str]
    account: str
    emulated: bool
    began: float
    ended: float | None
    state: str
    error: str | None
    times: int
    answers: int
    open: int
    spent: dict[str, float]
    guessed: dict[str, float]
    path: str
    prompt: bool = False
    name: str = ""
    outputs: int = 0
    named: dict[str, Any] | None = None


def _ended(error: str | None) -> str:
    code = (error or "").partition(":")[0]
    return code if code in ("interrupted", "waiting") else "failed"


def summary(
    path: str, prices: Prices | None = None, *, environment: Mapping[str, str] | None = None, held: bool = False
) -> Summary:
    """The summary of a journal. Raises a `JournalError` for a file that is not a journal. ``held``: the caller holds
    its lock.
    """
    with readable(path) as store:
        facts, counts = store.facts(), store.summaries()
        end = counts.end
        running = not held and holder_of(path) is not None
        moment = time.monotonic()
        budget = Budget(prices=None if facts["emulated"] else prices, clock=lambda: moment)
        spent(store, budget, now=None if running else end[0] if end else counts.last)
    state = "cut off" if end is None else "finished" if end[1] else _ended(end[2])
    return Summary(
        id=facts["id"],
        script=facts["script"],
        args=facts["args"],
        named=facts.get("named"),
        account=facts["account"],
        emulated=bool(facts["emulated"]),
        began=facts["began"],
        ended=end and end[0],
        state="running" if running else state,
        error=end and end[2],
        times=counts.runs,
        answers=counts.answers,
        open=counts.open,
        spent=budget.spent(),
        guessed=budget.guessed(),
        path=path,
        name=name_of(environment or {}, path),
        outputs=outputs.count(path),
        prompt=is_of_a_prompt(facts),
    )


def source_of(path: str) -> tuple[str, bytes]:
    """The name and the text of the journal's script when the journal began."""
    with readable(path) as store:
        facts = store.facts()
    return facts["script"], facts["source"]


def entries(path: str, *, answers: bool = True) -> Iterator[dict[str, Any]]:
    """All requests, in the order of their answers; then the writes whose outcome is unknown."""
    with readable(path) as store:
        prompt = is_of_a_prompt(store.facts())
        for line in store.lines(answers=answers):
            yield entry(line, prompt=prompt)


def entry(line: Line, *, prompt: bool = False) -> dict[str, Any]:
    number, task = divmod(line.began.task, SPAN)
    return {
        **({"input": number + 1} if prompt else {}),
        "task": task,
        "request": line.began.request,
        "function": line.began.function,
        "account": line.began.account or "default",
        "arguments": shown(line.began.arguments),
        "model": line.model,
        "at": line.began.at,
        "state": line.state,
        **({} if line.state == "open" else {"ended": line.ended}),
        **({} if line.value is None else {"answer": decoded(line.value)}),
    }


def find(environment: Mapping[str, str], given: str) -> str:
    """The path of the journal with that id, name or path. Raises a `UsageError` if there is none."""
    path = path_of(environment, given)
    if os.path.isfile(path):
        return path
    for known in found(environment):
        with suppress(JournalError), readable(known) as store:
            if store.facts()["id"] == given:
                return known
    called = "what looks like a token" if looks_like_token(given) else repr(given[:200])
    see = "list the runs: kosmo runs list"
    if _ID.fullmatch(given):
        see = f"if it was submitted, look for it in the database: kosmo runs show {given} --database; else {see}"
    raise UsageError(f"no run is called {called}", hint=see)


@contextmanager
def readable(path: str) -> Iterator[Store]:
    """A journal opened for reading, even while another process writes it. Raises a `JournalError`."""
    with closing(SqliteStore(path, read_only=True)) as store, store.hold():
        yield store
