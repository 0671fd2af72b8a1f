"""Stand-ins for modules that a library imports but does not need here: loading the real ones takes a third of the time
of a short run.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import Any

_Module: type[ModuleType] = type(sys)


class StandIn(_Module):  # type: ignore[valid-type,misc]  # the type of modules, without importing types
    """A module that defines a few names. For any other name, the real module is imported."""

    def __init__(self, name: str, **names: Any) -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(__import__(self.__name__, fromlist=[name]), name)


class StandingIn:
    """A context in which imports find these modules, unless the real ones are already loaded.

    For single-threaded processes.
    """

    def __init__(self, *modules: ModuleType, **named: ModuleType) -> None:
        self._modules = {module.__name__: module for module in modules} | named

    def __enter__(self) -> None:
        self._modules = {name: module for name, module in self._modules.items() if name not in sys.modules}
        sys.modules.update(self._modules)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, module in self._modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
