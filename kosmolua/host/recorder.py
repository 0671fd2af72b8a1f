"""A proxy in front of the real API that writes a cassette while a program runs: what it asked, and what was answered.

It has no token of its own. That of the program is passed on, and is never written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from werkzeug import Response

from kosmolua.emulator import parameters, problem
from kosmolua.emulator.app import match, refusal
from kosmolua.emulator.call import ApiRequest
from kosmolua.emulator.links import PLACE, Links
from kosmolua.errors import UsageError
from kosmolua.host.upstream import Passed, UpstreamError, pass_on
from kosmolua.journal.cassette import FORMAT, HIDDEN, Call, Opening, cleaned
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.urls import checked_url

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST_REQUEST = 101 * 1024 * 1024  # a file of 100 MiB in a form
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer of the API. Files and streams may be larger, but are recorded only up to that."""
MOST_RECORDED = 1 << 30  # bytes of a cassette
STREAM, DOWNLOAD = "http.stream", "http.download"
_WITH_TOKEN = ("replicate.delivery", "stream.replicate.com")
_SHORTEST_TOKEN = 8
_ERROR = 400
_REDACTED = "[REDACTED]"
_EVENTS = "text/event-stream"


class Tape:
    """The cassette that is written, a line as soon as a call is answered. Thread-safe."""

    def __init__(self, path: str, base: str) -> None:
        self.path, self.calls, self.skipped = path, 0, 0
        self._lock, self._size = Lock(), 0
        self._tokens: set[str] = set()
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise UsageError(f"cannot write the cassette {path}: {error.strerror}", hint="name another file") from None
        self._write(Opening(FORMAT, os.path.basename(path), "", [], 0.0, time.time(), base=base))

    @property
    def summary(self) -> str:
        skipped = f"; {self.skipped} were too large" if self.skipped else ""
        return f"{self.path}: {self.calls} calls recorded{skipped}"

    def hide(self, token: str) -> None:
        """Never write this token."""
        if len(token) >= _SHORTEST_TOKEN:
            self._tokens.add(token)

    def add(self, function: str, arguments: Any, *, answer: Any = None, error: dict[str, Any] | None = None) -> None:
        with self._lock:
            call = Call(0, self.calls + 1, function, "", self._clean(arguments))
            call.answer, call.error = self._clean(answer), self._clean(error)
            if self._write(call):
                self.calls += 1
            else:
                self.skipped += 1

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _clean(self, value: Any) -> Any:
        if isinstance(value, bytes):
            for token in self._tokens:
                value = value.replace(token.encode(), HIDDEN.encode())
        elif isinstance(value, dict):
            value = {name: self._clean(item) if isinstance(item, bytes) else item for name, item in value.items()}
        return cleaned(value)

    def _write(self, line: Opening | Call) -> bool:
        data = msgspec.json.encode(line) + b"\n"
        for token in self._tokens:
            data = data.replace(token.encode(), HIDDEN.encode())
        if self._file.closed or self._size + len(data) > MOST_RECORDED:
            return False
        self._file.write(data)
        self._file.flush()
        self._size += len(data)
        return True


class Recorder:
    """A WSGI application. ``base`` is the API that it forwards to. Raises a UsageError for a bad URL or file."""

    def __init__(self, base: str, path: str, *, insecure_http: bool = False) -> None:
        self.base = checked_url(base, insecure_http=insecure_http, origin="--to")
        self.tape = Tape(path, self.base)
        self._links = Links(self.base)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = ApiRequest(environ)
        with request:
            try:
                response = self._answer(request, request.host_url.rstrip("/"))
            except problem.ProblemError as error:
                response = refusal(error)
            except UpstreamError as error:
                response = refusal(problem.ProblemError(502, "Bad gateway", str(error)))
        return response(environ, start_response)

    def close(self) -> None:
        self.tape.close()

    def _answer(self, request: ApiRequest, origin: str) -> Response:
        token = request.headers.get("Authorization", "").partition(" ")[2].strip()
        self.tape.hide(token)
        if request.path.startswith(PLACE):
            return self._file(request, origin)
        if not request.path.startswith("/v1/"):
            raise problem.not_found()
        if (request.content_length or 0) > LARGEST_REQUEST:
            raise problem.too_large("The recorder takes requests of at most 101 MiB")
        asked = self._asked(request, origin)
        passed = pass_on(request.method, self._target(request), _headers(request), self._body(request, origin))
        if passed.content_type == _EVENTS:
            return _streamed(passed, passed)
        data = _whole(passed)
        if asked is not None:
            self._record(*asked, passed.status, data, dict(passed.headers))
        return _response(passed, self._outward(passed, data, origin), self._location(passed, origin))

    def _target(self, request: ApiRequest) -> str:
        query = request.query_string.decode("latin-1")
        return self._links.api(quote(request.path)) + (f"?{query}" if query else "")

    def _asked(self, request: ApiRequest, origin: str) -> tuple[Operation, dict[str, Any]] | None:
        """Operation and arguments, as a cassette has them; None for a request that it cannot have."""
        try:
            operation, path = match(request)
            arguments = parameters.read(operation, request, path)
        except problem.ProblemError:
            return None
        if operation.content_type == "text/plain":
            arguments["body"] = request.get_data(as_text=True)
        elif operation.content_type == "multipart/form-data":
            arguments = {}
        return operation, self._links.inward(arguments, origin)

    def _body(self, request: ApiRequest, origin: str) -> bytes:
        data = request.get_data()
        if not data or origin.encode() not in data or request.mimetype != "application/json":
            return data
        try:
            return msgspec.json.encode(self._links.inward(msgspec.json.decode(data), origin))
        except msgspec.DecodeError:
            return data

    def _outward(self, passed: Passed, data: bytes, origin: str) -> bytes:
        if "json" not in passed.content_type:
            return data
        try:
            return msgspec.json.encode(self._links.outward(msgspec.json.decode(data), origin))
        except msgspec.DecodeError:
            return data

    def _location(self, passed: Passed, origin: str) -> dict[str, str]:
        location = {name.lower(): value for name, value in passed.headers}.get("location")
        return {"Location": self._links.link(location, origin)} if location and "://" in location else {}

    def _record(
        self, operation: Operation, arguments: dict[str, Any], status: int, data: bytes, headers: Mapping[str, str]
    ) -> None:
        document = _document(data)
        if status >= _ERROR:
            self.tape.add(operation.name, arguments, error=_failure(status, document, data, headers))
            return
        if operation.answer == "none":
            self.tape.add(operation.name, arguments)
        elif operation.answer == "text":
            self.tape.add(operation.name, arguments, answer=data.decode(errors="replace"))
        elif operation.answer == "bytes":
            self.tape.add(operation.name, arguments, answer=data)
        else:
            self.tape.add(operation.name, _without_secrets(arguments, document), answer=document)

    def _file(self, request: ApiRequest, origin: str) -> Response:
        """A file or stream, which is passed on as it comes and recorded at its end."""
        url = self._links.find(request.path)
        if url is None or request.method not in {"GET", "HEAD"}:
            raise problem.not_found()
        headers = _headers(request)
        if not self._gets_token(url):
            headers.pop("Authorization", None)
        passed = pass_on(request.method, url, headers, b"")
        parts = self._recorded(url, passed) if request.method == "GET" else passed
        return _streamed(passed, parts, self._location(passed, origin))

    def _gets_token(self, url: str) -> bool:
        parts, base = urlsplit(url), urlsplit(self.base)
        host = parts.hostname or ""
        trusted = any(host == name or host.endswith(f".{name}") for name in _WITH_TOKEN)
        return (parts.scheme, parts.netloc) == (base.scheme, base.netloc) or (parts.scheme == "https" and trusted)

    def _recorded(self, url: str, passed: Passed) -> Iterator[bytes]:
        data, whole = bytearray(), True
        try:
            for block in passed:
                whole = whole and len(data) + len(block) <= LARGEST_ANSWER
                if whole:
                    data += block
                yield block
        finally:
            function = STREAM if passed.content_type == _EVENTS else DOWNLOAD
            if passed.status >= _ERROR:
                failure = _failure(passed.status, _document(bytes(data)), bytes(data), {})
                self.tape.add(function, {"url": url}, error=failure)
            elif whole:
                answer = {"content_type": passed.kind, "content": bytes(data)}
                self.tape.add(function, {"url": url}, answer=answer)
            else:
                self.tape.skipped += 1


def _headers(request: ApiRequest) -> dict[str, str]:
    return dict(request.headers.items())


def _whole(passed: Passed) -> bytes:
    data = bytearray()
    try:
        for block in passed:
            data += block
            if len(data) > LARGEST_ANSWER:
                raise UpstreamError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
    finally:
        passed.close()
    return bytes(data)


def _response(passed: Passed, data: bytes, more: Mapping[str, str]) -> Response:
    response = Response(data, passed.status, passed.headers)
    response.headers.update(more)
    return response


def _streamed(passed: Passed, parts: Iterable[bytes], more: Mapping[str, str] | None = None) -> Response:
    def body() -> Iterator[bytes]:
        try:
            yield from parts
        except UpstreamError as error:
            raise ConnectionResetError(str(error)) from error

    response = Response(body(), passed.status, passed.headers)
    response.headers.update(more or {})
    response.call_on_close(passed.close)
    return response


def _document(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data) if data else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _failure(status: int, document: Any, data: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    found = document if isinstance(document, Mapping) else {}
    wait = {name.lower(): value for name, value in headers.items()}.get("retry-after")
    return {
        "status": status,
        "title": found.get("title"),
        "detail": found.get("detail") or data[:1000].decode(errors="replace"),
        **({"invalid_fields": found["invalid_fields"]} if "invalid_fields" in found else {}),
        **({"retry_after": wait} if wait else {}),
    }


def _without_secrets(arguments: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The arguments without the inputs that the API does not show in its answer."""
    shown, given = answer.get("input") if isinstance(answer, Mapping) else None, arguments.get("input")
    if not isinstance(shown, Mapping) or not isinstance(given, Mapping):
        return arguments
    return {**arguments, "input": {k: HIDDEN if shown.get(k) == _REDACTED else v for k, v in given.items()}}
