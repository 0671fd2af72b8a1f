"""What the gate will refuse a script: by the header of the script, and by the policy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kosmolua.errors import KosmoError, UsageError

if TYPE_CHECKING:
    from kosmolua.check.problem import Problem
    from kosmolua.gate.needs import Needs
    from kosmolua.replicate.catalogue import Operation
    from kosmolua.settings.config import Settings, Verdict


def header(text: bytes, file: str) -> tuple[Needs | None, list[Problem]]:
    """The declarations of the header, or the problems in it."""
    from kosmolua.check.problem import Problem
    from kosmolua.gate import needs

    if b"--@" not in text:
        return None, []
    try:
        return needs.read(text, file), []
    except UsageError as error:
        line = error.message.removeprefix(f"{file}:").partition(":")[0]
        message = error.message.removeprefix(f"{file}:{line}: ")
        number = int(line) if line.isdigit() else 1
        problem = Problem(
            file=file, line=number, column=1, severity="error", code=error.code, message=message, hint=error.hint
        )
        return None, [problem]


class Policy:
    """Returns the error if the policy denies a call whatever its unknown arguments are. A policy of "ask" is left to
    the gate. The options are those of the run.
    """

    def __init__(self, read: Verdict | None, write: Verdict | None, *, force: bool, emulate: bool) -> None:
        self._read, self._write = read, write
        self._force, self._emulate = force, emulate
        self._policy: Any = None

    def __call__(self, operation: Operation, account: str, arguments: Mapping[str, Any]) -> KosmoError | None:
        from kosmolua.gate import policy
        from kosmolua.gate.refusals import denied

        if self._force or (self._emulate and not (self._read or self._write)):
            return None
        self._policy = self._policy or policy.policy_of(self._settings())
        call = policy.Call(operation, account, arguments, from_script=True)
        decision = policy.decide(self._policy, call)
        if decision.verdict == "deny" and not policy.may_be(self._policy, call):
            return denied(operation, decision)
        return None

    def _settings(self) -> Settings:
        from kosmolua.settings import config

        if not self._emulate:
            return config.load(os.environ, read=self._read, write=self._write)
        return config.Settings(
            read=config.Value(self._read or "allow", "--read"),
            write=config.Value(self._write or "allow", "--write"),
        )
