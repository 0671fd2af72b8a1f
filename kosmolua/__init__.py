"""LuaJIT scripts for the whole Replicate HTTP API, behind a permission gate.

The names below are loaded when they are first used: the isolated child imports this package before
anything else, and must not meet an HTTP client, a token or the gate on its way.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from typing import Any

    from kosmolua._version import __version__
    from kosmolua.errors import (
        ApiError,
        ArgumentError,
        ConfigurationError,
        CredentialError,
        KosmoError,
        LimitError,
        PermissionDeniedError,
        ScriptError,
        TransportError,
        UncertainError,
        UsageError,
        WebhookError,
    )
    from kosmolua.replicate.webhook import verify_webhook

__all__ = [
    "ApiError",
    "ArgumentError",
    "ConfigurationError",
    "CredentialError",
    "KosmoError",
    "LimitError",
    "PermissionDeniedError",
    "ScriptError",
    "TransportError",
    "UncertainError",
    "UsageError",
    "WebhookError",
    "__version__",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from kosmolua._version import __version__

        return __version__
    if name == "verify_webhook":
        from kosmolua.replicate.webhook import verify_webhook

        return verify_webhook
    if name in __all__:
        from kosmolua import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
