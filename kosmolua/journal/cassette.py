"""Recorded runs that can be replayed elsewhere, without network and token. The format is JSON Lines: a head, then one
call per line. A cassette is written from the run's journal, with secrets removed. A cassette that would contain a token
is not written.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError, KosmoError, UsageError
from kosmolua.journal import runs
from kosmolua.journal.arguments import NO_DATA, digest_of, digested
from kosmolua.journal.bounds import digest_of_unsent
from kosmolua.journal.journal import AGAIN
from kosmolua.journal.records import Head, Line, RecordedAnswer
from kosmolua.replicate import catalogue
from kosmolua.replicate.structs import LocalFile, extension
from kosmolua.replicate.token import HIDDEN, hidden

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget

FORMAT = 1
_SECRET_NAME = re.compile(r"(.*[_-])?(api[_-]?key|api[_-]?token|access[_-]?token|auth[_-]?token|hf[_-]?token|token"
                          r"|secret|password|authorization)", re.IGNORECASE)  # fmt: skip
_canonical = msgspec.json.Encoder(order="sorted").encode


class Opening(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The first line. ``digest`` is the digest of the script. ``base`` is the URL of the API, if a proxy recorded
    another program. ``named`` are arguments by name, without secrets.
    """

    cassette: int
    script: str
    digest: str
    args: list[str]
    seed: float
    began: float
    awaits: int = 0
    base: str = ""
    named: Any = None


class Call(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One call of the run and its ``answer``, or the ``error`` that the script got. Calls are in the order in which
    they were answered; ``task`` and ``request`` are the call's place in the script. A call that was never sent has a
    ``digest`` instead of arguments.
    """

    task: int
    request: int
    function: str
    account: str = ""
    arguments: Any = None
    answer: Any = None
    error: dict[str, Any] | None = None
    digest: str = ""


def write(journal: str, file: str, reveals: Callable[[str], bool]) -> None:
    """Write the cassette of the run with this journal. Raises a `UsageError`, and leaves no file, if it cannot be
    written or if a text in it ``reveals`` a token.
    """
    try:
        text = b"".join(line + b"\n" for line in _lines(journal))
    except (JournalError, *NO_DATA) as error:
        raise UsageError(
            f"cannot write the cassette {file}: invalid data in the journal {journal}: {error}",
            hint=f"see each of its calls: kosmo runs show {quote(journal)}",
        ) from None
    if reveals(text.decode()):
        raise UsageError(
            f"cannot write the cassette {file}: it would contain an API token",
            hint=f"find where the script prints or passes the token: kosmo runs export {quote(journal)}",
        )
    temporary = f"{file}.{os.urandom(4).hex()}.part"
    try:
        with open(temporary, "wb") as opened:
            opened.write(text)
        os.replace(temporary, file)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise UsageError(f"cannot write the cassette {file}: {error.strerror}", hint="choose another path") from None


def _lines(journal: str) -> Iterator[bytes]:
    with runs.readable(journal) as store:
        yield _head(store.facts())
        for line in store.lines():
            if line.state != "open":
                yield msgspec.json.encode(_call(line))


def _head(facts: Mapping[str, Any]) -> bytes:
    script = os.path.basename(facts["script"])
    head = Opening(
        FORMAT, script, digest_of(facts["source"]), facts["args"], facts["seed"], facts["began"],
        facts.get("awaits", 0), named=cleaned(facts.get("named")),
    )  # fmt: skip
    return msgspec.json.encode(head)


def _call(line: Line) -> Call:
    began, value = line.began, line.value
    asked = _decoded(began.arguments)
    digest = digest_of_unsent(asked)
    call = Call(
        began.task, began.request, began.function, began.account, None if digest else cleaned(asked), digest=digest
    )
    found = None if value is None else cleaned(msgspec.msgpack.decode(value))
    if line.state == "ok":
        operation = catalogue.find(began.function)
        call.answer = operation.placeholder if value is None and operation else found
    else:
        call.error = found
    return call


def _decoded(arguments: bytes) -> Any:
    return msgspec.msgpack.decode(arguments, ext_hook=extension)


def cleaned(value: Any, name: str = "") -> Any:
    """The value without secrets, recognized by name or form. Bytes become ``{"base64": …}``."""
    match value:
        case str() if value and _SECRET_NAME.fullmatch(name):
            return HIDDEN
        case str():
            return hidden(value)
        case LocalFile():
            return {"file": value.path}
        case msgspec.msgpack.Ext():
            return {"extension": value.code}
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {key: cleaned(item, key) for key, item in value.items()}
        case list():
            return [cleaned(item, name) for item in value]
    return value


def read(file: str) -> tuple[Opening, list[Call]]:
    """Read a cassette. Raises a `UsageError` that names the invalid line."""
    try:
        with open(file, "rb") as opened:
            lines = opened.read().splitlines()
    except OSError as error:
        raise UsageError(
            f"cannot read the cassette {file}: {error.strerror}", hint="make one: kosmo lua --record FILE"
        ) from None
    number = 1
    try:
        head = msgspec.json.decode(lines[0] if lines else b"", type=Opening)
        calls = []
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - used below
            calls.append(msgspec.json.decode(line, type=Call))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}:{number}: not a valid cassette line: {error}", hint="record it again") from None
    if head.cassette != FORMAT:
        raise UsageError(f"{file} is a cassette of format {head.cassette}; this version knows {FORMAT}")
    return head, calls


class Cassette:
    """Answers a run only with the recorded answers. Raises a `JournalError` if the script makes another call, in
    another order, or with other arguments.
    """

    def __init__(self, file: str, head: Head) -> None:
        self.path = file
        self._head, self._calls = read(file)
        self.last = len(self._calls)
        if self._head.base:
            raise JournalError(
                f"{file} was recorded from another program by kosmo emulator:record, and has no script to replay",
                hint=f"serve it to that program: kosmo emulator:serve --cassette {quote(file)}",
            )
        self._orders = {(call.task, call.request): order for order, call in enumerate(self._calls, 1)}
        was, now = (self._head.args, self._head.named), (head.args, cleaned(head.named))
        if _canonical(was) != _canonical(now):
            first, second = (args if named is None else named for args, named in (was, now))
            raise JournalError(
                f"{file} was recorded with the arguments {first}; now they are {second}",
                hint="pass the same arguments, or record another cassette",
            )

    def start(self) -> dict[str, float]:
        awaits = {"awaits": 1.0} if self._head.awaits else {}
        return {"seed": self._head.seed, "began": self._head.began, **awaits}

    def recall(self, asked: Any, turn: int) -> RecordedAnswer | None:  # noqa: ARG002 - a journal's signature
        order = self._orders.get((asked.task, asked.number))
        if order is None:
            return None
        call = self._calls[order - 1]
        if not _is_same(call, asked):
            raise self._differs(call, asked)
        ok = call.error is None
        if call.function in AGAIN:
            return RecordedAnswer(order, ok, None)
        return RecordedAnswer(order, ok, msgspec.msgpack.encode(_with_bytes(call.answer if ok else call.error)))

    def begin(self, asked: Any, seen: int) -> Any:  # noqa: ARG002 - a journal's signature
        raise JournalError(
            f"{self.path} has no further call, but the script asks for {_request_text(*_request(asked))}",
            hint="record it again: kosmo lua --record FILE",
        )

    def finish(self, ticket: Any, value: bytes, *, ok: bool) -> None:
        """Do nothing: a replay begins no call."""

    def restore(self, budget: Budget) -> None:
        """Do nothing: a replay spends nothing."""

    def end(self, error: KosmoError | None) -> None:
        """Do nothing: a replay records nothing."""

    def close(self) -> None:
        """Do nothing: the file is closed."""

    def differs(self, order: int, asked: Any) -> JournalError:
        return self._differs(self._calls[order - 1], asked)

    def _differs(self, call: Call, asked: Any) -> JournalError:
        was = _request_text(call.function, call.account, _canonical(call.arguments))
        now = _request_text(*_request(asked)) if asked else "nothing more"
        return JournalError(
            f"the script differs from {self.path} at task {call.task}, request {call.request}\n"
            f"  the cassette: {was}\n  the script:   {now}",
            hint="if the script or its input changed, record it again: kosmo lua --record FILE",
        )


def _is_same(call: Call, asked: Any) -> bool:
    if call.digest:
        same = (call.function, call.account) == (asked.function, asked.account)
        return same and call.digest == digested(asked.arguments)[0].hex()
    return (call.function, call.account, _canonical(call.arguments)) == _request(asked)


def _request(asked: Any) -> tuple[str, str, bytes]:
    return asked.function, asked.account, _canonical(cleaned(_decoded(asked.arguments)))


def _request_text(function: str, account: str, arguments: bytes) -> str:
    where = f" on account {account}" if account else ""
    return f"{function}{where} {arguments[:400].decode(errors='replace')}"


def _with_bytes(value: Any) -> Any:
    match value:
        case {"base64": str() as text} if len(value) == 1:
            return base64.b64decode(text)
        case dict():
            return {key: _with_bytes(item) for key, item in value.items()}
        case list():
            return [_with_bytes(item) for item in value]
    return value
