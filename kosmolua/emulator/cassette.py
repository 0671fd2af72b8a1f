"""Serves the answers of a cassette to any client, for the same calls in the same order.

Repeated calls get their recorded answers in order. After the last answer, reads get that answer again, since clients
may poll more often. Calls that were not recorded are refused.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
from werkzeug import Response

from kosmolua.emulator import parameters, problem
from kosmolua.emulator.app import authenticate, json_response, match, refusal
from kosmolua.emulator.call import ApiRequest
from kosmolua.emulator.links import Links
from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import Operation, find

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_MANNER = frozenset({"prefer", "wait", "cancel_after"})  # do not affect the answer
HIDDEN = "[hidden]"
TRANSFERS = frozenset({"http.stream", "http.download"})  # the functions that only `kosmo emulator:record` records


class Player:
    """A WSGI application. Raises a `UsageError` for a file that is not a cassette."""

    def __init__(self, file: str) -> None:
        base, lines = _read(file)
        self._calls = [line for line in lines if line["function"] not in TRANSFERS]
        self._transfers = [line for line in lines if line["function"] in TRANSFERS]
        self._links = Links(base, fixed=True)
        for line in self._transfers:
            self._links.add(line["arguments"]["url"])
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = ApiRequest(environ)
        with request:
            try:
                response = self._answer(request, request.host_url.rstrip("/"))
            except problem.ProblemError as error:
                response = refusal(error)
        return response(environ, start_response)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _answer(self, request: ApiRequest, origin: str) -> Response:
        if (url := self._links.find(request.path)) is not None:
            return self._transfer(url)
        operation, path = match(request)
        authenticate(operation, request)
        arguments = parameters.read(operation, request, path)
        if operation.content_type == "text/plain":
            arguments["body"] = request.get_data(as_text=True)
        with self._lock:
            call = self._next(operation, self._links.inward(arguments, origin))
        return _response(operation, {**call, "answer": self._links.outward(call.get("answer"), origin)})

    def _transfer(self, url: str) -> Response:
        """The next recorded answer for a file or stream; the last one again if the URL is read more often."""
        with self._lock:
            same = [line for line in self._transfers if line["arguments"]["url"] == url]
            if len(same) > 1:
                self._transfers.remove(same[0])
        answer = same[0].get("answer")
        if not answer:
            return _failed(same[0]["error"])
        return Response(base64.b64decode(answer["content"]["base64"]), content_type=answer["content_type"])

    def _next(self, operation: Operation, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The next recorded call with the same function and arguments."""
        asked = _asked(operation, arguments)
        same = [call for call in self._calls if call["function"] == operation.name and fits(call["arguments"], asked)]
        if not same:
            shown = msgspec.json.encode(asked).decode()[:400]
            raise problem.conflict(f"The cassette has no unused answer for {operation.name} {shown}")
        if len(same) > 1 or operation.access == "write":
            self._calls.remove(same[0])
        return same[0]


def fits(recorded: Any, given: Any) -> bool:
    """Whether a value equals the recorded one, ignoring secrets, which were removed from the recording."""
    match recorded:
        case dict() if isinstance(given, dict):
            return recorded.keys() == given.keys() and all(fits(item, given[name]) for name, item in recorded.items())
        case list() if isinstance(given, list):
            return len(recorded) == len(given) and all(map(fits, recorded, given))
    if isinstance(recorded, str) and isinstance(given, str) and HIDDEN in recorded:
        return _fits_around(recorded.split(HIDDEN), given)
    return bool(recorded == given)


def _fits_around(parts: list[str], given: str) -> bool:
    """Whether a text consists of these parts, with anything between them."""
    first, *between, last = parts
    if len(given) < len(first) + len(last) or not (given.startswith(first) and given.endswith(last)):
        return False
    at = len(first)
    for part in between:
        found = given.find(part, at, len(given) - len(last))
        if found < 0:
            return False
        at = found + len(part)
    return True


def _read(file: str) -> tuple[str, list[dict[str, Any]]]:
    """The base URL of the recorded API ("" if unknown), and the recorded calls in order."""
    try:
        with open(file, "rb") as opened:
            head, *lines = [msgspec.json.decode(line) for line in opened.read().splitlines()]
        if head["cassette"] != 1:
            raise UsageError(f"{file}: unsupported cassette format {head['cassette']}; expected 1")
        calls = []
        for call in lines:
            operation, error = find(call["function"]), call.get("error")
            if call["function"] in TRANSFERS:
                calls.append({**call, "arguments": {"url": str(call["arguments"]["url"])}})
            elif operation and (not error or "status" in error):
                arguments = _asked(operation, call.get("arguments") or {})
                calls.append({**call, "function": operation.name, "arguments": arguments})
    except OSError as error:
        raise UsageError(f"cannot read the cassette {file}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{file} is not a cassette", hint="record one: kosmo lua --record FILE") from None
    return str(head.get("base", "")), calls


def _asked(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to compare. An upload has none, since clients encode forms differently."""
    if operation.content_type == "multipart/form-data":
        return {}
    return {name: value for name, value in arguments.items() if name not in _MANNER}


def _response(operation: Operation, call: Mapping[str, Any]) -> Response:
    status = operation.success[0]
    if error := call.get("error"):
        return _failed(error)
    answer: Any = call.get("answer")
    match operation.answer:
        case "none":
            return Response(status=status)
        case "text":
            return Response(answer, status, content_type="text/plain; charset=utf-8")
        case "bytes":
            return Response(base64.b64decode(answer["base64"]), status, content_type="application/octet-stream")
    return json_response(answer, status)


def _failed(error: Mapping[str, Any]) -> Response:
    document = {"title": error.get("title"), "detail": error.get("detail"), "status": error["status"]}
    if "invalid_fields" in error:
        document["invalid_fields"] = error["invalid_fields"]
    headers = {"Retry-After": str(error["retry_after"])} if error.get("retry_after") else {}
    return json_response(document, int(error["status"]), problem.PROBLEM_TYPE, headers)
