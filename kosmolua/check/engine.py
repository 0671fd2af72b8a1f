"""Questions that only LuaJIT can answer: whether a text is valid Lua, and the names in the sandbox. Both are asked in
an isolated child process that does not run the script.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Literal, Self

from kosmolua.check.names import Names
from kosmolua.errors import ScriptError
from kosmolua.replicate import catalogue
from kosmolua.runtime.prepared import Prepared
from kosmolua.runtime.run import Script, run

_SHEBANG = re.compile(rb"#[^\n]*")
_NAMES = b"""
local found = {}
for name, value in pairs(_G) do
  local fields = {}
  if type(value) == "table" and value ~= _G then
    for field in pairs(value) do fields[#fields + 1] = tostring(field) end
  end
  found[name] = json.array(fields)
end
return found
"""


class Engine:
    """Queries a sandbox. `close` ends its processes."""

    def __init__(self) -> None:
        self._prepared = Prepared()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._prepared.close()

    def refusal(self, name: str, source: bytes) -> tuple[int, str] | None:
        """Line and message of a syntax error; None if the text is valid. Nothing runs."""
        text = _SHEBANG.sub(b"", source.removeprefix(b"\xef\xbb\xbf"), count=1) if source[:1] == b"#" else source
        error = self._run(name, b"do return end " + text.removeprefix(b"\xef\xbb\xbf")).error
        if error is None:
            return None
        where = re.fullmatch(r".*:([0-9]+)", getattr(error, "where", None) or "", re.DOTALL)
        if error.code != "syntax_error":
            raise error
        return int(where[1]) if where else 1, error.message

    @cached_property
    def names(self) -> Names:
        """The globals of a script, with the fields of those that are tables."""
        ended = self._run("names", _NAMES)
        if ended.error:
            raise ended.error
        return {name: frozenset(fields) for name, fields in ended.results[0].items()}

    def _run(self, name: str, source: bytes) -> Any:
        functions = [operation.names for operation in catalogue.OPERATIONS]
        script = Script(source=source, name=name, functions=functions)
        return run(script, _refuse, _Silence(), child=self._prepared)


def _refuse(*_: object) -> Any:
    raise ScriptError("a script that is being checked cannot make calls")


class _Silence:
    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        """Do nothing: no script runs, so nothing is printed."""
