"""LuaJIT scripts for the whole Replicate HTTP API, behind a permission gate.

The names below are loaded on first use: the sandbox process imports this package first, and must not import an
HTTP client, the token or the gate.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from kosmolua._version import __version__
    from kosmolua.errors import (
        AnswerError,
        ApiError,
        ArgumentError,
        ConfigurationError,
        CredentialError,
        FunctionError,
        JournalError,
        KosmoError,
        LimitError,
        OptionError,
        PermissionDeniedError,
        ScriptError,
        TransportError,
        UncertainError,
        UsageError,
        WebhookError,
    )
    from kosmolua.gate.budget import Caps
    from kosmolua.gate.custom import Function
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.prompt import Answer, Prompter, Question
    from kosmolua.gate.run import Reply
    from kosmolua.host.aio import AsyncHost
    from kosmolua.host.events import Event
    from kosmolua.host.handle import Handle
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.host.script import ScriptRun
    from kosmolua.replicate.webhook import SeenWebhooks, verify_webhook
    from kosmolua.runtime.limits import Limits

__all__ = [
    "Answer",
    "AnswerError",
    "ApiError",
    "ArgumentError",
    "AsyncHost",
    "Caps",
    "ConfigurationError",
    "CredentialError",
    "Entry",
    "Event",
    "Function",
    "FunctionError",
    "Handle",
    "Host",
    "JournalError",
    "KosmoError",
    "LimitError",
    "Limits",
    "OptionError",
    "PermissionDeniedError",
    "Prompter",
    "Question",
    "Reply",
    "Result",
    "ScriptError",
    "ScriptRun",
    "SeenWebhooks",
    "TransportError",
    "UncertainError",
    "UsageError",
    "WebhookError",
    "__version__",
    "verify_webhook",
]

# modules of the names that are not errors
_HOMES = {
    "Answer": "kosmolua.gate.prompt",
    "Caps": "kosmolua.gate.budget",
    "AsyncHost": "kosmolua.host.aio",
    "Entry": "kosmolua.gate.entry",
    "Event": "kosmolua.host.events",
    "Function": "kosmolua.gate.custom",
    "Handle": "kosmolua.host.handle",
    "Host": "kosmolua.host.host",
    "Limits": "kosmolua.runtime.limits",
    "Prompter": "kosmolua.gate.prompt",
    "Question": "kosmolua.gate.prompt",
    "Reply": "kosmolua.gate.session",
    "Result": "kosmolua.host.result",
    "ScriptRun": "kosmolua.host.script",
    "SeenWebhooks": "kosmolua.replicate.webhook",
    "__version__": "kosmolua._version",
    "verify_webhook": "kosmolua.replicate.webhook",
}


if not TYPE_CHECKING:  # type checkers do not see this function, or they would accept any name

    def __getattr__(name):  # noqa: ANN001, ANN202
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOMES.get(name, "kosmolua.errors")), name)


def __dir__() -> list[str]:
    return __all__
