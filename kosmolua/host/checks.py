"""Checks the options of a `Host` when it is made, not later in a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kosmolua.errors import OptionError
from kosmolua.runtime.limits import Limits
from kosmolua.settings.config import VERDICTS

# CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR of inspect, whose import takes 10 ms.
_DEFERRED = 0x20 | 0x80 | 0x200


def check(options: Mapping[str, Any]) -> None:
    """Raise an `OptionError` for the first option of a wrong type."""
    for name, value in options.items():
        test, expected = _EXPECTED[name]
        if not test(value):
            raise OptionError.of(name, expected, "a secret" if name in _SECRET else value)
    if is_deferred(getattr(options.get("prompter"), "ask", None)):
        raise OptionError(
            "prompter: expected a plain function `ask`, got an async function or a generator",
            hint="write `def ask(self, question)`, and wait for the answer in it",
        )


def is_deferred(function: object) -> bool:
    """Whether calling the function returns a coroutine or a generator, which would not be run."""
    while callable(inner := getattr(function, "func", None)):  # unwraps functools.partial
        function = inner
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    code = code or getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    return bool(getattr(code, "co_flags", 0) & _DEFERRED)


def _is_prompter(value: object) -> bool:
    return value is None or (not isinstance(value, type) and callable(getattr(value, "ask", None)))


def _is_callback(value: object) -> bool:
    return value is None or (callable(value) and not is_deferred(value))


def _is_time(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and 0 <= value < float("inf"))  # type: ignore[operator]


def _is_caps(value: object) -> bool:
    from kosmolua.gate.budget import Caps

    return isinstance(value, Caps)


def _items(kind: type | tuple[type, ...]) -> Callable[[object], bool]:
    def test(value: object) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed and all(isinstance(item, kind) for item in value)  # type: ignore[attr-defined]

    return test


def _one_of(*kinds: type | None) -> Callable[[object], bool]:
    return lambda value: (
        value is None if None in kinds and value is None else isinstance(value, tuple(filter(None, kinds)))
    )


def _word(*words: str | None) -> tuple[Callable[[object], bool], str]:
    """A test for one of these words, or for None if that is among them; and a description of them."""
    named = [word for word in words if word]
    return lambda value: any(value == word for word in words), f"{', '.join(named[:-1])} or {named[-1]}"


def _are_headers(value: object) -> bool:
    from kosmolua.settings.headers import name_problem, value_problem

    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(text, str) and not name_problem(name) and not value_problem(text)
        for name, text in value.items()
    )


_SECRET = frozenset({"token", "headers"})
_TEXT = (_one_of(str, None), "text or None")
_FLAG = (_one_of(bool), "True or False")
_CALLBACK = (_is_callback, "a function that is not async, or None")
_DIRECTORIES = (_items((str, os.PathLike)), "a list of directories")
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "account": (lambda value: isinstance(value, str) and bool(value), "the name of an account"),
    "token": _TEXT,
    "url": _TEXT,
    "headers": (
        lambda value: value is None or _are_headers(value),
        "a dictionary of extra HTTP headers that kosmolua does not set itself, or None",
    ),
    "caller": _TEXT,
    "python": (
        lambda value: value is None or (bool(value) and isinstance(value, str | os.PathLike)),
        "the path of a Python interpreter, or None",
    ),
    "insecure_http": _FLAG,
    "read": _word(None, *VERDICTS),
    "write": _word(None, *VERDICTS),
    "isolation": _word("standard", "strict", "none"),
    "yielding": _FLAG,
    "force": _FLAG,
    "dry_run": _FLAG,
    "emulate": _FLAG,
    "cancel_on_exit": _FLAG,
    "prepare": _FLAG,
    "park_after": (_is_time, "seconds (0 or more), or None"),
    "prompter": (_is_prompter, "an object with a method `ask(question)`, or None"),
    "limits": (_one_of(Limits, None), "kosmolua.Limits(…) or None"),
    "caps": (lambda value: value is None or _is_caps(value), "kosmolua.Caps(…) or None"),
    "faults": (_items(str), "a list of faults"),
    "models": (_one_of(str, os.PathLike, None), "the path of a file or directory, or None"),
    "cogs": (_items(str), "a list of owner/name=URL"),
    "speed": (lambda value: bool(value) and _is_time(value), "a number above 0"),
    "allow_read": _DIRECTORIES,
    "allow_write": _DIRECTORIES,
    "allow_env": (_items(str), "a list of names of environment variables"),
    "functions": (lambda value: isinstance(value, Mapping), "a dictionary of functions by name"),
    "on_output": _CALLBACK,
    "on_call": _CALLBACK,
    "on_event": _CALLBACK,
    "on_retry": _CALLBACK,
    "on_notice": _CALLBACK,
}
