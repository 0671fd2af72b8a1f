"""The origins of a run's predictions, taken from what was sent, so that a script cannot choose cache keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.replicate.catalogue import Operation

MOST = 10_000  # predictions to remember
CREATES = frozenset({"create_prediction", "create_model_prediction", "create_deployment_prediction"})
_ORIGIN = ("version", "model_owner", "model_name", "deployment_owner", "deployment_name")

Described = Callable[[Any], tuple[Any, list[Any]]]
"""Returns an input without its files, and the files by place and content."""


class Origin(Struct, frozen=True):
    """What a prediction is made from. ``digest`` covers the model, deployment or version, and the input; ``version``
    says whether the digest covers a version.
    """

    digest: str
    version: bool


class Origins:
    """The origins of predictions by account and id, recorded once they are ``wanted``. Thread-safe."""

    def __init__(self, described: Described) -> None:
        self.wanted = False
        self._described = described
        self._origins: dict[tuple[str, str], Origin] = {}

    def note(self, operation: Operation, sent: Struct, account: str, answer: Any) -> None:
        """Record an answered call; ``sent`` are the arguments as sent."""
        identifier = answer.get("id") if isinstance(answer, dict) else None
        if operation.name in CREATES and isinstance(identifier, str):
            self._origins[account, identifier] = self.origin(msgspec.structs.asdict(sent))
            if len(self._origins) > MOST:
                self._origins.pop(next(iter(self._origins)), None)

    def of(self, account: str, identifier: str) -> Origin | None:
        """The origin of a prediction; None if this run did not create it."""
        return self._origins.get((account, identifier))

    def origin(self, arguments: Mapping[str, Any]) -> Origin:
        """The origin of a prediction with these arguments; the same before and after files are replaced by URLs."""
        names = {name: arguments[name] for name in _ORIGIN if isinstance(arguments.get(name), str)}
        content = [names, *self._described(arguments.get("input"))]
        import hashlib  # loads OpenSSL: 3 ms

        text = msgspec.json.encode(content, order="deterministic")
        return Origin(hashlib.sha256(text).hexdigest(), "version" in names)
