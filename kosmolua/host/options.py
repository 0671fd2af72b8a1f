"""The options of a host, as one frozen object that is checked when it is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from msgspec import Struct

from kosmolua.host import checks
from kosmolua.host.hints import resolvable
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.parking import AFTER
from kosmolua.runtime.run import Isolation
from kosmolua.settings.config import DEFAULT_ACCOUNT, Verdict

if TYPE_CHECKING:
    from kosmolua.gate.budget import Caps
    from kosmolua.gate.custom import Function
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.prompt import Prompter
    from kosmolua.host.events import Event

Stream = Literal["stdout", "stderr"]
_Options = ParamSpec("_Options")
_Maker = TypeVar("_Maker")


@resolvable(globals())
class HostOptions(Struct, frozen=True, kw_only=True):
    """The options of a `kosmolua.Host`, whose docstring explains them.

    Raises an `OptionError` for a wrong type or value.
    """

    account: str = DEFAULT_ACCOUNT
    token: str | None = None
    url: str | None = None
    headers: Mapping[str, str] | None = None
    insecure_http: bool = False
    read: Verdict | None = None
    write: Verdict | None = None
    yielding: bool = False
    caller: str | None = None
    prompter: Prompter | None = None
    force: bool = False
    dry_run: bool = False
    emulate: bool = False
    faults: Sequence[str] = ()
    models: str | os.PathLike[str] | None = None
    cogs: Sequence[str] = ()
    speed: float = 1.0
    isolation: Isolation = "standard"
    limits: Limits | None = None
    caps: Caps | None = None
    allow_read: Sequence[str] = ()
    allow_write: Sequence[str] = ()
    functions: Mapping[str, Callable[..., Any] | Function] = {}
    allow_env: Sequence[str] = ()
    cancel_on_exit: bool = False
    park_after: float | None = AFTER
    prepare: bool = True
    python: str | os.PathLike[str] | None = None
    on_output: Callable[[Stream, str], None] | None = None
    on_call: Callable[[Entry], None] | None = None
    on_event: Callable[[Event], None] | None = None
    on_retry: Callable[[str, float], None] | None = None
    on_notice: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        checks.check({name: getattr(self, name) for name in self.__struct_fields__})

    def __repr__(self) -> str:
        """The options without the token."""
        return f"HostOptions(account={self.account!r}, emulate={self.emulate!r}, isolation={self.isolation!r})"

    @property
    def interpreter(self) -> str | None:
        """The path of the interpreter for child processes, if it is not the current one."""
        return None if self.python is None else os.fspath(self.python)


def taking(
    options: Callable[_Options, HostOptions],
) -> Callable[[Callable[[_Maker, HostOptions], None]], Callable[Concatenate[_Maker, _Options], None]]:
    """Make an ``__init__`` that takes an options object accept the options as keywords."""

    def decorate(function: Callable[[_Maker, HostOptions], None]) -> Callable[Concatenate[_Maker, _Options], None]:
        def init(self: _Maker, /, *args: _Options.args, **given: _Options.kwargs) -> None:
            function(self, options(*args, **given))

        init.__annotations__ = HostOptions.__annotations__
        return init

    return decorate


class Signature:
    """The signature of a class whose ``__init__`` takes options. Made on demand, since inspect is slow to import."""

    def __get__(self, instance: object, owner: type) -> object:
        import inspect

        return inspect.signature(HostOptions)
