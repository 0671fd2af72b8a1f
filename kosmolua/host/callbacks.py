"""Callbacks of a host's owner, which are called during other operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kosmolua.errors import KosmoError, ScriptError, failure_of, words_of


def quiet(callback: Callable[..., object], name: str, tell: Callable[[str], None]) -> Callable[..., None]:
    """The callback, with its exceptions turned into notices, so that they do not break the request that calls it."""

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - reported
            tell(f"{name} raised {words_of(error)}")

    return call


def both(one: Callable[..., object], other: Callable[..., object]) -> Callable[..., None]:
    """A callback that calls both callbacks in this order."""

    def call(*arguments: Any) -> None:
        one(*arguments)
        other(*arguments)

    return call


def of_callback(raised: Exception, *, broken: bool) -> KosmoError:
    """The error for an exception that was raised after an answer: by a callback, or if ``broken`` by a bug in this
    package.
    """
    if broken:
        return failure_of(raised, "after the answer of a call")
    return ScriptError(f"a callback raised {words_of(raised)}", code="interrupted")


def log(text: str) -> None:
    """Log a notice: the host has no ``on_notice``."""
    import logging

    logging.getLogger("kosmolua").warning(text)
