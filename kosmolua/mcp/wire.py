"""Standard input and output as the protocol's lines: what the SDK does not answer is answered here."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

LINGER = 10.0  # seconds after the end of standard input in which what was asked is still answered
_MOST_DIGITS, _MOST_ID = 18, 200  # of a number, and characters of an id, that an answer repeats
_ID = rf'"id"\s*:\s*(-?[0-9]{{1,{_MOST_DIGITS}}}|"[^"\\]{{1,{_MOST_ID}}}")'
# Where the ids of requests are: before the parameters, or after everything else.
_FIRST = re.compile(rf'\s*\{{(?:\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]{{1,99}}"\s*,)*\s*{_ID}\s*[,}}]')
_LAST = re.compile(rf",\s*{_ID}\s*\}}\s*\Z")
_TAIL = 2 * _MOST_ID


class Pending:
    """The requests that are not answered yet."""

    def __init__(self) -> None:
        self._open: set[Hashable] = set()
        self._changed = anyio.Event()

    def asked(self, message: Any) -> None:
        """Note a request. One that its client cancels gets no answer."""
        method, identifier = getattr(message, "method", None), getattr(message, "id", None)
        if method and identifier is not None:
            self._open.add(identifier)
        elif method == "notifications/cancelled":
            self._end((getattr(message, "params", None) or {}).get("requestId"))

    def answered(self, message: Any) -> None:
        if getattr(message, "method", None) is None:
            self._end(getattr(message, "id", None))

    async def none(self) -> None:
        """Wait until all are answered."""
        while self._open:
            self._changed = anyio.Event()
            await self._changed.wait()

    def _end(self, identifier: Any) -> None:
        if isinstance(identifier, Hashable):
            self._open.discard(identifier)
        self._changed.set()


async def serve(server: Server[Any]) -> None:
    """Serve until standard input ends and what was asked on it is answered."""
    pending = Pending()
    async with stdio_server() as (read, write), write, anyio.create_task_group() as tasks:
        passing, passed = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        answering, answers = anyio.create_memory_object_stream[SessionMessage](0)
        tasks.start_soon(_pass_back, answers, write.clone(), pending)
        async with anyio.create_task_group() as reading:
            reading.start_soon(_pass_on, read, passing, write.clone(), pending)
            await server.run(passed, answering, server.create_initialization_options())
            reading.cancel_scope.cancel()
        await answering.aclose()


async def _pass_on(read: Any, passing: Any, write: Any, pending: Pending) -> None:
    """Pass on what is understood; the rest is answered here, as JSON-RPC wants it and the SDK does not do."""
    async with passing, write:
        async for message in read:
            if isinstance(message, Exception):
                error = JSONRPCError(jsonrpc="2.0", id=id_of(message), error=_malformed(message))
                await write.send(SessionMessage(error))
            else:
                pending.asked(message.message)
                await passing.send(message)
        with anyio.move_on_after(LINGER):
            await pending.none()


async def _pass_back(answers: Any, write: Any, pending: Pending) -> None:
    async with answers, write:
        async for message in answers:
            await write.send(message)
            pending.answered(message.message)


def id_of(error: Exception) -> str | int | None:
    """The id of a request that the SDK cannot read, such as one with half a surrogate pair: its client waits for it."""
    found: Any = error.errors()[0].get("input") if isinstance(error, ValidationError) else None
    if isinstance(found, str):
        import json

        try:
            found = json.loads(
                found, strict=False, parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else None
            )
        except (ValueError, RecursionError):
            return _written_id(found)
    identifier = found.get("id") if isinstance(found, dict) else None
    if isinstance(identifier, str):
        return identifier if identifier.isprintable() and len(identifier) <= _MOST_ID else None
    return identifier if isinstance(identifier, int) and not isinstance(identifier, bool) else None


def _written_id(line: str) -> str | int | None:
    """The id in a line that is not JSON, or nested too deep to be read."""
    found = _FIRST.match(line) or _LAST.search(line, max(0, len(line) - _TAIL))
    if found is None:
        return None
    text = found.group(1)
    if not text.startswith('"'):
        return int(text)
    return text[1:-1] if text.isprintable() else None


def _malformed(error: Exception) -> ErrorData:
    kinds = [found["type"] for found in error.errors()] if isinstance(error, ValidationError) else ["json_invalid"]
    if "json_invalid" in kinds:
        return ErrorData(code=PARSE_ERROR, message="not valid JSON")
    return ErrorData(code=INVALID_REQUEST, message="not a valid JSON-RPC message")
