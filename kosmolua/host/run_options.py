"""The options of a single run. `kosmolua.Host.script` documents the fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, TypedDict

from msgspec import Struct

from kosmolua.errors import OptionError, UsageError
from kosmolua.host import checks

if TYPE_CHECKING:
    from kosmolua.gate.approval import Asking
    from kosmolua.gate.budget import Caps
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.prompt import Prompter
    from kosmolua.gate.run import Watcher
    from kosmolua.host.events import Event
    from kosmolua.journal.cassette import Cassette
    from kosmolua.journal.journal import Journal
    from kosmolua.replicate.versions import Versions
    from kosmolua.runtime.frames import Output
    from kosmolua.runtime.isolate import Child
    from kosmolua.runtime.limits import Limits
    from kosmolua.runtime.parking import Parking
    from kosmolua.runtime.stop import Stop


class StartOptions(TypedDict, total=False):
    """The options of `kosmolua.Host.run` and `kosmolua.Host.start`."""

    keep_outputs: bool
    prompter: Prompter | None
    on_call: Callable[[Entry], None] | None
    on_event: Callable[[Event], None] | None
    account: str | None
    limits: Limits | None
    caps: Caps | None
    tags: Mapping[str, str]


class ScriptOptions(StartOptions, total=False):
    """The further options of `kosmolua.Host.script`."""

    output: Output | None
    child: Child | None
    journal: Journal | Cassette | None
    record: str | None
    stop: Stop | None
    watch: Callable[[], Watcher] | None
    own: Sequence[tuple[str, str]]
    stdin: IO[bytes] | None
    versions: Versions | None
    parking: Parking | None
    asking: Asking | None
    identifier: str | None


class RunOptions(Struct, frozen=True, kw_only=True):
    """Overrides the host's options for one run, and adds the run's listeners."""

    output: Output | None = None
    child: Child | None = None
    journal: Journal | Cassette | None = None
    record: str | None = None
    prompter: Prompter | None = None
    on_call: Callable[[Entry], None] | None = None
    on_event: Callable[[Event], None] | None = None
    stop: Stop | None = None
    watch: Callable[[], Watcher] | None = None
    own: Sequence[tuple[str, str]] = ()
    keep_outputs: bool = True
    stdin: IO[bytes] | None = None
    versions: Versions | None = None
    account: str | None = None
    limits: Limits | None = None
    caps: Caps | None = None
    tags: Mapping[str, str] = {}
    parking: Parking | None = None
    asking: Asking | None = None
    identifier: str | None = None

    def __post_init__(self) -> None:
        checks.check({name: getattr(self, name) for name in ("prompter", "on_call", "on_event", "limits", "caps")})
        if self.account is not None:
            checks.check({"account": self.account})
        if not isinstance(self.tags, Mapping) or not all(_is_text(*pair) for pair in self.tags.items()):
            raise OptionError.of("tags", "a dictionary of strings", self.tags)


def named_of(args: Mapping[str, Any]) -> dict[str, Any]:
    """Named arguments as plain data in a fixed order, so that a resumed script traverses them in the same order. Raises
    a `UsageError`.
    """
    import msgspec

    try:
        found: dict[str, Any] = msgspec.to_builtins(args, builtin_types=(bytes,), str_keys=True, order="sorted")
        msgspec.msgpack.encode(found)
    except (TypeError, RecursionError, OverflowError, UnicodeEncodeError) as error:
        raise UsageError(
            f"args: expected plain data: {error}", hint="pass strings, numbers, lists or dictionaries"
        ) from None
    return found


def _is_text(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, str)
