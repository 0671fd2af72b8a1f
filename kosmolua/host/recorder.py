"""A proxy in front of the real API that writes a program's requests and their answers to a cassette.

The proxy has no token. It forwards the program's token, and never writes it.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
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
from kosmolua.host.upstream import ForwardedAnswer, Upstream, UpstreamError
from kosmolua.journal.cassette import FORMAT, Call, Opening, cleaned
from kosmolua.replicate.body import TooMuch, check_values
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.redact import Redactor
from kosmolua.replicate.token import HIDDEN
from kosmolua.replicate.transfer import gets_token
from kosmolua.replicate.urls import checked_url, is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST_REQUEST = 101 * 1024 * 1024  # a form with a file of 100 MiB
LARGEST_ANSWER = 64 * 1024 * 1024
"""The maximum bytes of an API answer. Files and streams may be larger, but only that much of them is recorded."""
MOST_RECORDED = 1 << 30  # the maximum bytes of a cassette
STREAM, DOWNLOAD = "http.stream", "http.download"
MOST_SECRETS = 1_000  # the maximum number of secrets that programs may send
_SHORTEST_SECRET = 8
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|passw|credential|session|signature", re.IGNORECASE)
_ERROR = 400
_REDACTED = "[REDACTED]"
_EVENTS = "text/event-stream"


class Tape:
    """The cassette being written. Each call is written as one line as soon as it is answered. Thread-safe."""

    def __init__(self, path: str, base: str) -> None:
        self.path, self.calls, self.skipped = path, 0, 0
        self._lock, self._size = Lock(), 0
        self._redactors: dict[str, Redactor] = {}
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise UsageError(f"cannot write the cassette {path}: {error.strerror}", hint="name another file") from None
        self._write(Opening(FORMAT, os.path.basename(path), "", [], 0.0, time.time(), base=base))

    @property
    def summary(self) -> str:
        skipped = f"; {self.skipped} were too large or incomplete" if self.skipped else ""
        return f"{self.path}: {self.calls} calls recorded{skipped}"

    def hide(self, secret: str) -> None:
        """Never write this secret, in any of its usual encodings."""
        with self._lock:
            if secret not in self._redactors:
                self._redactors[secret] = Redactor(secret)
            while len(self._redactors) > MOST_SECRETS:
                del self._redactors[next(iter(self._redactors))]

    def add(self, function: str, arguments: Any, *, answer: Any = None, error: dict[str, Any] | None = None) -> None:
        """Write a call, unless the cassette is full or the call's data is nested too deeply."""
        with self._lock:
            self.skipped += 1
            with suppress(RecursionError):
                call = Call(0, self.calls + 1, function, "", self._clean(arguments))
                call.answer, call.error = self._clean(answer), self._clean(error)
                if self._write(call):
                    self.calls, self.skipped = self.calls + 1, self.skipped - 1

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _clean(self, value: Any) -> Any:
        if isinstance(value, bytes):
            value = self._without(value)
        elif isinstance(value, dict):
            value = {name: self._clean(item) if isinstance(item, bytes) else item for name, item in value.items()}
        return cleaned(value)

    def _without(self, data: bytes) -> bytes:
        return reduce(lambda found, each: each.written(found), self._redactors.values(), data)

    def _write(self, line: Opening | Call) -> bool:
        data = self._without(msgspec.json.encode(line)) + b"\n"
        if self._file.closed or self._size + len(data) > MOST_RECORDED:
            return False
        self._file.write(data)
        self._file.flush()
        self._size += len(data)
        return True


class Recorder:
    """A WSGI application. ``base`` is the URL of the API that it forwards to. Raises a UsageError for an invalid URL or
    file.
    """

    def __init__(self, base: str, path: str, *, insecure_http: bool = False) -> None:
        self.base = checked_url(base, insecure_http=insecure_http, origin="--to")
        self.tape = Tape(path, self.base)
        self._upstream = Upstream()
        self._links = Links(self.base, allowed=lambda url: may_fetch(url, self.base))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = ApiRequest(environ)
        with request:
            try:
                response = self._answer(request, request.host_url.rstrip("/"))
            except problem.ProblemError as error:
                response = refusal(error)
            except UpstreamError as error:
                response = refusal(problem.ProblemError(502, "Bad gateway", str(error)))
            except RecursionError:
                response = refusal(problem.ProblemError(400, "Bad request", "The request is nested too deeply"))
        return response(environ, start_response)

    def close(self) -> None:
        self.tape.close()

    def _answer(self, request: ApiRequest, origin: str) -> Response:
        for secret in secrets_of(request.headers.items()):
            self.tape.hide(secret)
        if request.path.startswith(PLACE):
            return self._file(request, origin)
        if not request.path.startswith("/v1/"):
            raise problem.not_found()
        if (request.content_length or 0) > LARGEST_REQUEST:
            raise problem.too_large("The recorder takes requests of at most 101 MiB")
        asked = self._asked(request, origin)
        body = self._body(request, origin)
        forwarded = self._upstream.forward(request.method, self._target(request), _headers(request), body)
        if forwarded.content_type == _EVENTS:
            return _streamed(forwarded, forwarded)
        data = forwarded.whole(LARGEST_ANSWER)
        if asked is not None and not self._record(*asked, forwarded.status, data, dict(forwarded.headers)):
            self.tape.skipped += 1
        return _response(forwarded, self._outward(forwarded, data, origin), self._location(forwarded, origin))

    def _target(self, request: ApiRequest) -> str:
        query = request.query_string.decode("latin-1")
        return self._links.api(quote(request.path)) + (f"?{query}" if query else "")

    def _asked(self, request: ApiRequest, origin: str) -> tuple[Operation, dict[str, Any]] | None:
        """The operation and arguments of a request, as a cassette has them; None for a request that a cassette cannot
        hold.
        """
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

    def _outward(self, forwarded: ForwardedAnswer, data: bytes, origin: str) -> bytes:
        if "json" not in forwarded.content_type:
            return data
        try:
            return msgspec.json.encode(self._links.outward(_decoded(data), origin))
        except (ValueError, RecursionError):
            return data

    def _location(self, forwarded: ForwardedAnswer, origin: str) -> dict[str, str]:
        location = {name.lower(): value for name, value in forwarded.headers}.get("location")
        return {"Location": self._links.link(location, origin)} if location and "://" in location else {}

    def _record(
        self, operation: Operation, arguments: dict[str, Any], status: int, data: bytes, headers: Mapping[str, str]
    ) -> bool:
        """Record a call. False if a cassette cannot hold its answer."""
        found = _document(data)
        if status >= _ERROR:
            self.tape.add(operation.name, arguments, error=_failure(status, found, data, headers))
            return True
        if operation.answer == "none":
            self.tape.add(operation.name, arguments)
        elif operation.answer == "text":
            self.tape.add(operation.name, arguments, answer=data.decode(errors="replace"))
        elif operation.answer == "bytes":
            self.tape.add(operation.name, arguments, answer=data)
        elif found is None:
            return False
        else:
            self.tape.add(operation.name, _without_secrets(arguments, found), answer=found)
        return True

    def _file(self, request: ApiRequest, origin: str) -> Response:
        """A file or stream, which is forwarded as it arrives and recorded when it is complete."""
        url = self._links.find(request.path)
        if url is None or request.method not in {"GET", "HEAD"}:
            raise problem.not_found()
        headers = _headers(request)
        if not gets_token(url, self.base, function=DOWNLOAD):
            headers.pop("Authorization", None)
        forwarded = self._upstream.forward(request.method, url, headers, b"")
        parts = self._recorded(url, forwarded) if request.method == "GET" else forwarded
        return _streamed(forwarded, parts, self._location(forwarded, origin))

    def _recorded(self, url: str, forwarded: ForwardedAnswer) -> Iterator[bytes]:
        function = STREAM if forwarded.content_type == _EVENTS else DOWNLOAD
        data, fits, complete = bytearray(), True, False
        try:
            for block in forwarded:
                fits = fits and len(data) + len(block) <= LARGEST_ANSWER
                if fits:
                    data += block
                yield block
            complete = True
        except GeneratorExit:  # a program closes a stream after its last event
            complete = function == STREAM
            raise
        finally:
            if not (fits and complete):
                self.tape.skipped += 1
            elif forwarded.status >= _ERROR:
                failure = _failure(forwarded.status, _document(bytes(data)), bytes(data), {})
                self.tape.add(function, {"url": url}, error=failure)
            else:
                answer = {"content_type": forwarded.kind, "content": bytes(data)}
                self.tape.add(function, {"url": url}, answer=answer)


def _headers(request: ApiRequest) -> dict[str, str]:
    return dict(request.headers.items())


def _response(forwarded: ForwardedAnswer, data: bytes, more: Mapping[str, str]) -> Response:
    response = Response(data, forwarded.status, forwarded.headers)
    response.headers.update(more)
    return response


def _streamed(forwarded: ForwardedAnswer, parts: Iterable[bytes], more: Mapping[str, str] | None = None) -> Response:
    def body() -> Iterator[bytes]:
        try:
            yield from parts
        except UpstreamError as error:
            raise ConnectionResetError(str(error)) from error

    response = Response(body(), forwarded.status, forwarded.headers)
    response.headers.update(more or {})
    response.call_on_close(forwarded.close)
    return response


def may_fetch(url: str, base: str) -> bool:
    """Whether the recorder fetches a URL that an answer contains. A remote server must not make it read from this
    machine or its network.
    """
    try:
        parts, api = urlsplit(url), urlsplit(base)
        host, own = parts.hostname or "", api.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return False
    if host == own or is_loopback(own):
        return True
    return parts.scheme == "https" and "." in host and not is_loopback(host) and not _is_address(host)


def _is_address(host: str) -> bool:
    """Whether the host is an IP address rather than a name, in any notation that the resolver accepts, such as
    0x7f.1.
    """
    return ":" in host or host.rpartition(".")[2][:1].isdigit()


def secrets_of(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The header values that may be secrets, without their scheme; for Basic, the decoded password too."""
    found = []
    for name, value in headers:
        if not _SECRET_HEADER.search(name):
            continue
        parts = value.split(";") if name.lower() == "cookie" else [value]
        found += [part.strip() for part in parts]
        found += [part.partition("=")[2].strip() for part in parts if name.lower() == "cookie"]
        scheme, _, rest = value.strip().partition(" ")
        found.append(rest.strip())
        if scheme.lower() == "basic":
            with suppress(ValueError):
                user = base64.b64decode(rest.strip(), validate=True).decode(errors="replace")
                found += [user, user.partition(":")[2]]
    return [each for each in dict.fromkeys(found) if len(each) >= _SHORTEST_SECRET]


def _document(data: bytes) -> Any:
    try:
        return _decoded(data)
    except (ValueError, RecursionError):
        return None


def _decoded(data: bytes) -> Any:
    """Decode JSON. Raises a ValueError for invalid JSON, or if it holds too many values."""
    try:
        check_values(data)
    except TooMuch as error:
        raise ValueError(str(error)) from None
    return msgspec.json.decode(data)


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
