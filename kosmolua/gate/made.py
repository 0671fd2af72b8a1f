"""What the predictions of a run were made of, as it was sent: for a cache whose keys no script can choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.replicate.catalogue import Operation

MOST = 10_000  # predictions that are known at a time
CREATES = frozenset({"create_prediction", "create_model_prediction", "create_deployment_prediction"})
_ORIGIN = ("version", "model_owner", "model_name", "deployment_owner", "deployment_name")

Described = Callable[[Any], tuple[Any, list[Any]]]
"""Gives an input without its files, and the files by place and content."""


class Origin(Struct, frozen=True):
    """What a prediction is made of. ``digest`` is that of model, deployment or version and of the input; ``version`` is
    whether the version is part of that.
    """

    digest: str
    version: bool


class Made:
    """The origins of predictions by account and id, from when they are first ``wanted``. For any number of threads."""

    def __init__(self, described: Described) -> None:
        self.wanted = False
        self._described = described
        self._origins: dict[tuple[str, str], Origin] = {}

    def note(self, operation: Operation, sent: Struct, account: str, answer: Any) -> None:
        """A call was answered; ``sent`` are the arguments as they went out."""
        identifier = answer.get("id") if isinstance(answer, dict) else None
        if operation.name in CREATES and isinstance(identifier, str):
            self._origins[account, identifier] = self.origin(msgspec.structs.asdict(sent))
            if len(self._origins) > MOST:
                self._origins.pop(next(iter(self._origins)), None)

    def of(self, account: str, identifier: str) -> Origin | None:
        """None for a prediction that this run did not create."""
        return self._origins.get((account, identifier))

    def origin(self, arguments: Mapping[str, Any]) -> Origin:
        """What a create with these arguments makes a prediction of, before or after its files are replaced by URLs."""
        names = {name: arguments[name] for name in _ORIGIN if isinstance(arguments.get(name), str)}
        told = [names, *self._described(arguments.get("input"))]
        import hashlib  # loads OpenSSL: 3 ms

        text = msgspec.json.encode(told, order="deterministic")
        return Origin(hashlib.sha256(text).hexdigest(), "version" in names)
