"""Type hints of the public classes, resolved on demand: importing their types earlier takes too long."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from types import FunctionType
from typing import Any, TypeVar

# name -> full name, for types that their modules import only for type checkers
_HOMES = {
    "Caps": "kosmolua.gate.budget.Caps",
    "Cassette": "kosmolua.journal.cassette.Cassette",
    "Child": "kosmolua.runtime.isolate.Child",
    "Custom": "kosmolua.gate.custom.Custom",
    "Entry": "kosmolua.gate.entry.Entry",
    "Function": "kosmolua.gate.custom.Function",
    "Event": "kosmolua.host.events.Event",
    "Files": "kosmolua.gate.files.Files",
    "Handle": "kosmolua.host.handle.Handle",
    "Journal": "kosmolua.journal.journal.Journal",
    "KeptOutputs": "kosmolua.gate.kept.KeptOutputs",
    "Unfinished": "kosmolua.gate.ending.Unfinished",
    "Output": "kosmolua.runtime.port.Output",
    "Parking": "kosmolua.runtime.parking.Parking",
    "Prepared": "kosmolua.runtime.prepared.Prepared",
    "Prompter": "kosmolua.gate.prompt.Prompter",
    "Reply": "kosmolua.gate.run.Reply",
    "Result": "kosmolua.host.result.Result",
    "Session": "kosmolua.gate.session.Session",
    "Sessions": "kosmolua.host.sessions.Sessions",
    "Steps": "kosmolua.runtime.resting.Steps",
    "Versions": "kosmolua.replicate.versions.Versions",
    "Watcher": "kosmolua.gate.run.Watcher",
}
_Class = TypeVar("_Class", bound=type)


class Hints(dict[str, Any]):
    """The annotations of a function or class whose module has these globals. They remain text until they are read."""

    def __init__(self, annotations: dict[str, Any], names: dict[str, Any]) -> None:
        super().__init__(annotations)
        self._names: dict[str, Any] | None = names

    def resolved(self) -> dict[str, Any]:
        """The annotations as a plain dict of types."""
        names, self._names = self._names, None
        if names is not None:
            from importlib import import_module
            from types import SimpleNamespace
            from typing import get_type_hints

            homes = [(name, *home.rsplit(".", 1)) for name, home in _HOMES.items()]
            here = {name: getattr(import_module(module), found) for name, module, found in homes}
            self.update(get_type_hints(SimpleNamespace(__annotations__=dict(super().items())), {**here, **names}))
        return dict(super().items())

    def __getitem__(self, name: str) -> Any:
        return self.resolved()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.resolved())

    def get(self, name: str, default: Any = None) -> Any:
        return self.resolved().get(name, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self.resolved().keys()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self.resolved().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return self.resolved().values()


def resolvable(names: dict[str, Any]) -> Callable[[_Class], _Class]:
    """A class decorator: `typing.get_type_hints` can resolve the hints of the class and its methods."""

    def decorate(made: _Class) -> _Class:
        for member in vars(made).values():
            function = getattr(
                member, "__func__", getattr(member, "fget", member)
            )  # the function of a class method or a property
            if isinstance(function, FunctionType) and not isinstance(function.__annotations__, Hints):
                function.__annotations__ = Hints(function.__annotations__, names)
        if "__annotations__" in vars(made):
            made.__annotations__ = Hints(vars(made)["__annotations__"], names)
        return made

    return decorate
