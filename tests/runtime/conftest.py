from typing import Any

import msgspec
import pytest

from kosmolua.errors import ApiError, UsageError
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run


class Recorder:
    """An output and a call handler that records prints and calls, and answers from a table."""

    def __init__(self) -> None:
        self.printed = b""
        self.logged = b""
        self.calls: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}

    def write(self, stream, text):
        if stream == 1:
            self.printed += text
        else:
            self.logged += text

    def __call__(self, function, account, arguments):
        self.calls.append((function, account, msgspec.msgpack.decode(arguments)))
        if function not in self.answers:
            raise UsageError(f"no function is called {function!r}", code="unknown_function", hint="see them all")
        answer = self.answers[function]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def host():
    made = Recorder()
    made.answers = {
        "echo": {"ok": True},
        "fail": ApiError(
            "fail: 404 Not Found: no such thing",
            status=404,
            code="not_found",
            hint="look again",
            detail="no such thing",
        ),
    }
    return made


@pytest.fixture(params=["standard", "none"])
def isolation(request):
    return request.param


@pytest.fixture
def lua(host, isolation):
    """Run Lua text in either isolation and return the result."""

    def execute(source, *, args=(), limits=None, clock=None, name="flow.lua", accounts=()):
        script = Script(
            source=source.encode() if isinstance(source, str) else source,
            name=name,
            args=args,
            functions=[("echo", "replicate_echo", "echo.get"), ("fail", "replicate_fail", "fail.get")],
            accounts=list(accounts),
        )
        return run(script, host, host, limits=limits or Limits(cpu=5.0), isolation=isolation, clock=clock)

    return execute
