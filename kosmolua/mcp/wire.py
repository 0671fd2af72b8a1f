"""JSON-RPC with one message per line, over a pair of streams. Every request is answered with its id, even if it is
invalid. The SDK is not used here, since its import takes most of a second and few methods are needed.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import msgspec

from kosmolua.gate.prompt import Question
from kosmolua.mcp import protocol, questions
from kosmolua.mcp.protocol import ProtocolError
from kosmolua.mcp.service import CAPABILITIES, INFO, MAX_ARGUMENTS, Service
from kosmolua.mcp.work import Work

LINGER = 10.0  # seconds after the end of standard input during which open requests are still answered
MAX_LINE = 2 * MAX_ARGUMENTS + 65_536  # the maximum bytes of a line; longer lines are refused unread
_MOST_DIGITS, _MOST_ID = 18, 200  # the maximum digits and characters of an id in an answer
_ID = rf'"id"\s*:\s*(-?[0-9]{{1,{_MOST_DIGITS}}}|"[^"\\]{{1,{_MOST_ID}}}")'
# Where the id of a request is: before the parameters, or after everything else.
_FIRST = re.compile(rf'\s*\{{(?:\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]{{1,99}}"\s*,)*\s*{_ID}\s*[,}}]')
_LAST = re.compile(rf",\s*{_ID}\s*\}}\s*\Z")
_TAIL = 2 * _MOST_ID

Id = str | int | None


class Connection:
    """One client on a pair of streams."""

    def __init__(self, service: Service, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._service = service
        self._reading = reading
        self._writing = writing
        self._lock = threading.Condition()
        self._open: dict[Id, Work | None] = {}  # requests that are not yet answered
        self._asked: dict[str, Work] = {}  # elicitations that are not yet answered
        self._count = 0
        self._muted = False
        self.version: str | None = None  # the version negotiated in the handshake
        self.capabilities: Any = None

    def serve(self) -> None:
        """Answer requests until the stream has ended and all of its requests are answered."""
        while line := self._reading.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                self._skip(line)
            elif line.strip():
                self._take(line)
        with self._lock:
            self._lock.wait_for(lambda: not self._open, LINGER)

    def _skip(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._reading.readline(MAX_LINE)
        self.send({"id": None, "error": _error(protocol.INVALID_REQUEST, f"a message of more than {MAX_LINE} bytes")})

    def _take(self, line: bytes) -> None:
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = line.decode(errors="replace")
            self.send({"id": id_of(text), "error": _error(protocol.PARSE_ERROR, "not valid JSON")})
            return
        if not isinstance(message, dict):
            self._refuse(None, "not a JSON-RPC message")
        elif isinstance(message.get("method"), str) and message.get("jsonrpc") == "2.0":
            self._receive(message)
        elif "result" in message or "error" in message:
            self._deliver(message)
        else:
            self._refuse(_known(message.get("id")), "not a valid JSON-RPC message")

    def _receive(self, message: dict[str, Any]) -> None:
        """Handle a request or a notification."""
        params = message.get("params")
        given = {} if params is None else params
        if "id" not in message:
            self._notice(message["method"], given)
        elif not isinstance(message["id"], str | int) or isinstance(message["id"], bool):
            self._refuse(None, "expected a string or an integer - at `id`")
        elif not isinstance(given, dict):
            self._refuse(message["id"], "expected an object - at `params`")
        elif message["id"] in self._open:
            self._refuse(message["id"], "a request with this id is not answered yet")
        else:
            self._request(message["id"], message["method"], given)

    def _refuse(self, identifier: Id, message: str) -> None:
        self.send({"id": identifier, "error": _error(protocol.INVALID_REQUEST, message)})

    def _request(self, identifier: str | int, method: str, params: dict[str, Any]) -> None:
        request = Request(self, identifier, method, params)
        try:
            self._carry_out(request, identifier, method, params)
        except ProtocolError as error:
            request.error(error)
        except Exception as error:  # noqa: BLE001 - the client waits for an answer
            request.error(protocol.failed(error, method[:100]))

    def _carry_out(self, request: Request, identifier: str | int, method: str, params: dict[str, Any]) -> None:
        request.check()
        match method:
            case "tools/call":
                self._begin(request, identifier, params)
            case "initialize":
                request.result(self._initialize(params))
            case "ping" if not request.modern:
                request.result({})
            case "server/discover" if request.modern:
                found = {"supportedVersions": [*protocol.MODERN], "capabilities": CAPABILITIES}
                request.result({**found, "instructions": self._service.instructions})
            case _:
                request.result(self._service.answer(method, params))

    def _begin(self, request: Request, identifier: str | int, params: dict[str, Any]) -> None:
        with self._lock:
            self._open[identifier] = None
        work = self._service.call(params, request)
        with self._lock:
            if identifier in self._open:  # otherwise it has already been answered
                self._open[identifier] = work

    def _initialize(self, params: Mapping[str, Any]) -> dict[str, Any]:
        wanted = params.get("protocolVersion")
        if not isinstance(wanted, str):
            raise protocol.invalid("params: expected a string - at `protocolVersion`")
        self.version, self.capabilities = protocol.negotiated(wanted), params.get("capabilities")
        return {
            "protocolVersion": self.version,
            "capabilities": CAPABILITIES,
            "serverInfo": INFO,
            "instructions": self._service.instructions,
        }

    def _notice(self, method: str, params: Any) -> None:
        if method == "notifications/cancelled" and isinstance(params, dict):
            identifier = _known(params.get("requestId"))
            with self._lock:
                work = self._open.pop(identifier, None)  # a canceled request gets no answer
                self._lock.notify_all()
            if work:
                work.cancel()

    # Elicitations -------------------------------------------------------------------------------------------------

    def elicit(self, work: Work, question: Question) -> None:
        with self._lock:
            self._count += 1
            identifier = f"kosmolua-{self._count}"
            self._asked[identifier] = work
        params = questions.elicitation(question, self.version or protocol.HANDSHAKE[-1])
        self.send({"id": identifier, "method": "elicitation/create", "params": params})

    def _deliver(self, message: dict[str, Any]) -> None:
        """Pass on the answer to an elicitation."""
        with self._lock:
            work = self._asked.pop(str(message.get("id")), None)
        if work:
            work.answer(questions.answer_of(message.get("result")))

    # Writing ------------------------------------------------------------------------------------------------------

    def finish(self, identifier: Id, message: dict[str, Any]) -> None:
        """Answer a call, unless the client has canceled it."""
        line = _line(message)
        with self._lock:
            if identifier in self._open:
                del self._open[identifier]
                self._write(line)
                self._lock.notify_all()

    def is_open(self, identifier: Id) -> bool:
        return identifier in self._open

    def send(self, message: dict[str, Any]) -> None:
        line = _line(message)
        with self._lock:
            self._write(line)

    def mute(self) -> None:
        """Write nothing more. Takes no lock, so that a signal handler may call it."""
        self._muted = True

    def _write(self, line: bytes) -> None:
        if self._muted:
            return
        with suppress(OSError, ValueError):  # the client has left
            self._writing.write(line)
            self._writing.flush()


class Request:
    """One request. For a tool call, it is the call's `kosmolua.mcp.work.Peer`."""

    def __init__(self, connection: Connection, identifier: str | int, method: str, params: Mapping[str, Any]) -> None:
        self._connection = connection
        self._id = identifier
        self._method = method
        self._meta = protocol.meta_of(params)
        self._count = 0
        self._refused = True
        self.modern = protocol.VERSION in self._meta and method != "initialize"
        self.parks = self.modern
        capabilities = self._meta.get(protocol.CAPABILITIES) if self.modern else connection.capabilities
        self.can_ask = protocol.can_elicit(capabilities)

    def check(self) -> None:
        """Raise a `ProtocolError` unless the connection has been initialized or the request carries its envelope."""
        if self.modern:
            protocol.check_envelope(self._meta)
        elif self._connection.version is None and self._method not in {"initialize", "ping"}:
            raise protocol.invalid("not initialized: send initialize first")
        self._refused = False

    def progress(self, message: str) -> None:
        token = self._meta.get("progressToken")
        if not isinstance(token, str | int) or isinstance(token, bool) or not self._connection.is_open(self._id):
            return
        self._count += 1
        params = {"progressToken": token, "progress": self._count, "message": message}
        self._connection.send({"method": "notifications/progress", "params": params})

    def ask(self, work: Work, question: Question) -> None:
        if self.parks:
            self.result(questions.input_required(question, work.id))
        else:
            self._connection.elicit(work, question)

    def result(self, result: dict[str, Any]) -> None:
        shown = protocol.marked(self._method, result, INFO) if self.modern else result
        self._answer({"id": self._id, "result": shown})

    def error(self, error: ProtocolError) -> None:
        self._answer({"id": self._id, "error": error.to_dict()})

    def _answer(self, message: dict[str, Any]) -> None:
        if self._method == "tools/call" and not self._refused:
            self._connection.finish(self._id, message)
        else:
            self._connection.send(message)


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n"


def _error(code: int, message: str) -> dict[str, Any]:
    return ProtocolError(code, message).to_dict()


# Ids --------------------------------------------------------------------------------------------------------------


def id_of(line: str) -> Id:
    """The id of a request that cannot be read, such as one with half a surrogate pair. The client waits for an answer
    with this id.
    """
    import json

    try:
        found = json.loads(line, strict=False, parse_int=_short)
    except (ValueError, RecursionError):
        return _written_id(line)
    return _known(found.get("id")) if isinstance(found, dict) else None


def _short(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _known(identifier: Any) -> Id:
    """The id if an answer may repeat it, otherwise None."""
    if isinstance(identifier, str):
        return identifier if identifier.isprintable() and len(identifier) <= _MOST_ID else None
    return identifier if isinstance(identifier, int) and not isinstance(identifier, bool) else None


def _written_id(line: str) -> Id:
    """The id in a line that is not JSON, or that is nested too deeply to be read."""
    found = _FIRST.match(line) or _LAST.search(line, max(0, len(line) - _TAIL))
    if found is None:
        return None
    text = found.group(1)
    if not text.startswith('"'):
        return int(text)
    return text[1:-1] if text.isprintable() else None


def standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    return sys.stdin.buffer, sys.stdout.buffer
