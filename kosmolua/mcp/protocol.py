"""Parts of the protocol that both transports share: versions, error codes, and the metadata of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kosmolua.errors import failure_of

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
UNSUPPORTED_VERSION = -32022
MAX_MESSAGE = 2000  # the maximum characters of an error's message

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The versions that begin with `initialize`, oldest first."""
MODERN = ("2026-07-28",)
"""The versions in which each request carries what earlier versions negotiate in the handshake."""

PREFIX = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, SERVER_INFO = (
    f"{PREFIX}{name}" for name in ("protocolVersion", "clientCapabilities", "serverInfo")
)
_CACHEABLE = frozenset(
    ("tools/list", "resources/list", "resources/templates/list", "resources/read", "prompts/list", "server/discover")
)


class ProtocolError(Exception):
    """A protocol error to answer with: its code, message and data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_dict(self) -> dict[str, Any]:
        data = {} if self.data is None else {"data": self.data}
        return {"code": self.code, "message": self.message, **data}


def invalid(message: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMS, message)


def failed(error: BaseException, doing: str) -> ProtocolError:
    """The error for a request that failed in the server. The error's data has the code and the hint of the
    exception.
    """
    failure = failure_of(error, doing)
    text = f"{failure.message}; {failure.hint}" if failure.hint else failure.message
    return ProtocolError(INTERNAL_ERROR, text[:MAX_MESSAGE], {"code": failure.code})


def unknown_method(method: str) -> ProtocolError:
    return ProtocolError(METHOD_NOT_FOUND, "Method not found", method[:200])


def meta_of(params: Mapping[str, Any]) -> Mapping[str, Any]:
    found = params.get("_meta")
    return found if isinstance(found, Mapping) else {}


def check_envelope(meta: Mapping[str, Any]) -> None:
    """Raise a `ProtocolError` if a request of a modern version lacks a part of its envelope, or has an unknown
    version.
    """
    missing = [key for key in (VERSION, CAPABILITIES) if key not in meta]
    if missing:
        raise invalid(f"params._meta is missing {', '.join(missing)}")
    version = meta[VERSION]
    if not isinstance(version, str):
        raise invalid(f"params._meta: expected a string - at `{VERSION}`")
    if version not in MODERN:
        raise unsupported(version)


def unsupported(version: str) -> ProtocolError:
    data = {"supported": [*MODERN], "requested": version[:100]}
    return ProtocolError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def negotiated(wanted: str) -> str:
    """The version to use after a handshake: the wanted one if it is known, otherwise the latest."""
    return wanted if wanted in HANDSHAKE else HANDSHAKE[-1]


def marked(method: str, result: Mapping[str, Any], server_info: Mapping[str, Any]) -> dict[str, Any]:
    """A result as the modern versions require it: with its type, its server, and how long it may be cached."""
    cached = {"ttlMs": 0, "cacheScope": "private"} if method in _CACHEABLE else {}
    return {"resultType": "complete", **cached, **result, "_meta": {SERVER_INFO: server_info}}


def can_elicit(capabilities: Any) -> bool:
    """Whether a client can show forms. It cannot if it names only other modes."""
    modes = capabilities.get("elicitation") if isinstance(capabilities, Mapping) else None
    return isinstance(modes, Mapping) and (not modes or modes.get("form") is not None)
