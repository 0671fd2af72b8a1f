"""Names for completion, cached between inputs: the Lua state is queried only once for each value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.repl.models import Models
    from kosmolua.replicate.versions import Version
    from kosmolua.runtime.interactive import Interpreter


class Snapshot:
    """The `kosmolua.repl.completion.Scope` of a Lua state."""

    def __init__(self, interpreter: Interpreter, accounts: Callable[[], Sequence[str]], models: Models) -> None:
        self._interpreter = interpreter
        self._accounts = accounts
        self._models = models
        self._names: dict[tuple[str, ...], list[tuple[str, str]]] = {}

    def forget(self) -> None:
        """Clear the cache after an input."""
        self._names.clear()

    def names(self, *path: str) -> Sequence[tuple[str, str]]:
        if path not in self._names:
            self._names[path] = self._interpreter.names(*path)
        return self._names[path]

    def accounts(self) -> Sequence[str]:
        return self._accounts()

    def files(self, prefix: str) -> Sequence[str]:
        from kosmolua.repl import completion

        return completion.files(prefix)

    def models(self, word: str, account: str = "") -> Sequence[tuple[str, str]]:
        return self._models.names(word, account)

    def version(self, reference: str, account: str = "") -> Version | None:
        return self._models.version(reference, account)

    def close(self) -> None:
        self._models.close()

    def watch(self, changed: Callable[[], None]) -> None:
        self._models.changed = changed
