"""Approvals: a call whose policy is "ask" waits, without a process, for the decision of a person elsewhere."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import PermissionDeniedError
from kosmolua.replicate.structs import FileContent, LocalFile
from kosmolua.replicate.token import hidden, looks_like_token
from kosmolua.terminal.safe import visible

if TYPE_CHECKING:
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Ticket

MAX_STRING, MAX_TEXT = 4_000, 64_000  # characters shown to people: of one argument, and of all arguments
_WIDE = 1 << 63  # larger integers are sent as strings of digits in MessagePack
_encode = msgspec.msgpack.Encoder(order="sorted").encode


class Ask(Struct, frozen=True, kw_only=True):
    """A question. ``arguments`` is JSON for display; a decision is bound to the ``digest`` of the exact function,
    account and arguments. ``rule`` is the policy rule to save on request, as JSON.
    """

    function: str
    account: str
    access: str
    arguments: str
    digest: bytes
    estimate: float | None
    why: str
    rule: str | None


class Decision(Struct, frozen=True, kw_only=True):
    """``state`` is "open", "approved", "denied" or "expired". An open question expires in ``left`` seconds.
    ``acting`` decided on behalf of ``by``, if that is not None.
    """

    id: str
    state: str
    by: str | None = None
    acting: str | None = None
    reason: str | None = None
    left: float = 0.0


class Approvals(Protocol):
    """Where the questions of one run are kept."""

    def decision(self, ask: Ask, ticket: Ticket) -> Decision:
        """The decision on this question at this place in the journal. The first call stores the question. A decision
        that was already used is valid only for the call whose attempt was interrupted.
        """

    def watch(self, identifier: str, ready: Callable[[], None]) -> Callable[[], None]:
        """Call ``ready`` once the question is decided, if the run's process is still alive. Returns a function that
        stops the watch.
        """


class AskedError(PermissionDeniedError):
    """The call waits for the decision of approval ``identifier``, for at most ``left`` seconds."""

    code = "approval_required"

    def __init__(self, function: str, identifier: str, left: float) -> None:
        super().__init__(
            f"{function}: waiting for approval {identifier}",
            hint=f"decide it: kosmo approvals approve {identifier}",
            function=function,
        )
        self.identifier = identifier
        self.left = left


class Asking:
    """Asks for approval of one run's calls. Thread-safe. Asks only inside `at`."""

    def __init__(self, approvals: Approvals) -> None:
        self.approvals = approvals
        self._here = _ThreadTicket()

    @contextmanager
    def at(self, ticket: Ticket | None) -> Iterator[None]:
        """Inside this context, this thread carries out the request whose place in the journal is ``ticket``."""
        before, self._here.ticket = self._here.ticket, ticket
        try:
            yield
        finally:
            self._here.ticket = before

    @property
    def can_ask(self) -> bool:
        return self._here.ticket is not None

    @property
    def resumes(self) -> bool:
        """Whether an interrupted attempt at the call may have been sent, and has its reservation."""
        ticket = self._here.ticket
        return ticket is not None and bool(ticket.open)

    def check(self, ask: Ask) -> str:
        """Who approved the call, in words. Raises an `AskedError` until the question is decided, and a
        `PermissionDeniedError` if the call is denied.
        """
        ticket = self._here.ticket
        if ticket is None:
            raise PermissionDeniedError(f"{ask.function}: nobody can be asked here", code="approval_required")
        found = self.approvals.decision(ask, ticket)
        if found.state == "open":
            raise AskedError(ask.function, found.id, found.left)
        if found.id not in ticket.approvals:
            ticket.approvals.append(found.id)
        if found.state == "approved":
            return f"{ask.why}; approved by {found.by or 'somebody'} ({found.id})"
        raise _denied(ask, found)


class _ThreadTicket(threading.local):
    ticket: Ticket | None = None


def _denied(ask: Ask, found: Decision) -> PermissionDeniedError:
    if found.state == "expired":
        why = f"approval {found.id} expired"
        hint = "submit the run again, and decide in time: kosmo approvals list"
    else:
        why = f"{found.by or 'somebody'} denied approval {found.id}" + (f": {found.reason}" if found.reason else "")
        hint = f"see it: kosmo approvals show {found.id}"
    return PermissionDeniedError(
        f"{ask.function}: {why}",
        hint=hint,
        detail={"approval": found.id, "decision": found.state, "by": found.by, "reason": found.reason},
        function=ask.function,
    )


def digest_of(function: str, account: str, given: Mapping[str, Any], files: Files | None) -> bytes:
    """The digest of exactly this call. Local files count with their content."""
    return hashlib.sha256(_encode([function, account, _exact(dict(given), files)])).digest()


def _exact(value: Any, files: Files | None) -> Any:
    """The value with each table replaced by a list that begins with the table's kind, so that no table from a script
    can imitate a file.
    """
    match value:
        case LocalFile():
            return ["file", value.path, _content(value, files).digest()]
        case dict():
            return ["table", {name: _exact(item, files) for name, item in value.items()}]
        case list() | tuple():
            return ["list", [_exact(item, files) for item in value]]
        case int() if not -_WIDE <= value < _WIDE:
            return ["digits", str(value)]
        case str() | int() | float() | bytes() | None:
            return value
    return _exact(msgspec.to_builtins(value), files)


def _content(file: LocalFile, files: Files | None) -> FileContent:
    if isinstance(file, FileContent):
        return file
    if files is None:
        raise PermissionDeniedError(
            f"cannot read {file.path!r}: this run may not read files", hint="allow a directory: --allow-read DIR"
        )
    return files.content(file.path)


def shown(given: Mapping[str, Any], masked: Callable[[Any], Any]) -> str:
    """The arguments for people, as JSON: without secrets, which ``masked`` removes, and with long text cut."""
    text = msgspec.json.encode(masked(_shown(dict(given)))).decode()
    if len(text) <= MAX_TEXT:
        return text
    return msgspec.json.encode({"shortened": visible(text[:MAX_TEXT]), "characters": len(text)}).decode()


def _shown(value: Any) -> Any:
    match value:
        case LocalFile():
            size = f", {value.size} bytes" if isinstance(value, FileContent) else ""
            return f"file:{value.path}{size}"
        case bytes():
            return f"{len(value)} bytes, sha256:{hashlib.sha256(value).hexdigest()}"
        case str():
            return _text(value)
        case dict():
            return {_text(str(name)): _shown(item) for name, item in value.items()}
        case list() | tuple():
            return [_shown(item) for item in value]
        case int() if not -_WIDE <= value < _WIDE:
            return str(value)
        case int() | float() | None:
            return value
    return _shown(msgspec.to_builtins(value))


def _text(value: str) -> str:
    if looks_like_token(value):
        return "[hidden]"
    value = hidden(value)
    cut = value[:MAX_STRING].encode(errors="replace").decode()
    return cut if len(value) <= MAX_STRING else f"{cut}… ({len(value)} characters)"
