"""Model names and inputs for completion. A lookup never blocks typing: it returns what is known, and a background
thread requests the rest.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kosmolua.errors import PermissionDeniedError
from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.session import Session
    from kosmolua.repl.calls import Calls
    from kosmolua.replicate.versions import Version
    from kosmolua.services.names import Names

PAUSE = 0.25  # seconds without another query before the last one is sent
FILE = "models.json"
_MIN_WORD = 2  # the minimum characters for a search


class _Query(NamedTuple):
    version: bool  # whether it is for a version; otherwise for names
    text: str
    account: str
    emulated: bool


class Models:
    """Stores models from answers, and requests others: each once, after a pause in typing, and only if the policy
    allows the call without asking. Calls ``changed`` in the background thread when more models are known.
    """

    def __init__(self, calls: Calls, *, pause: float = PAUSE) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._calls = calls
        self._pause = pause
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._query: _Query | None = None
        self._closed = False
        self._names: dict[bool, Names] = {}  # one set of models for the emulator, one for the API
        self._versions: dict[_Query, Version | None] = {}
        self._found: dict[_Query, list[str]] = {}

    def names(self, word: str, account: str = "") -> Sequence[tuple[str, str]]:
        """Models and deployments whose name or description matches, best match first, with a description of each."""
        query = _Query(False, word if len(word) >= _MIN_WORD else "", account, self._calls.options.emulate)
        with self._condition:
            if query not in self._found:
                self._request(query)
            return self._seen(query.emulated).ranked(word, self._found.get(query, ()))

    def version(self, reference: str, account: str = "") -> Version | None:
        """The version of a model, if known."""
        query = _Query(True, reference, account, self._calls.options.emulate)
        with self._condition:
            if query not in self._versions:
                self._request(query)
            return self._versions.get(query)

    def note(self, answer: Any) -> None:
        """Store the models in an answer."""
        from kosmolua.services.names import models_in

        found = list(models_in(answer))
        if found:
            with self._condition:
                self._seen(self._calls.options.emulate).add(found)

    def close(self) -> None:
        """Stop the background thread, and store the names."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            for names in self._names.values():
                names.keep()

    def _seen(self, emulated: bool) -> Names:
        if emulated not in self._names:
            from kosmolua.services.names import Names

            path = os.path.join(paths.cache_directory(os.environ), FILE)
            self._names[emulated] = Names(None if emulated else path)
        return self._names[emulated]

    # Background thread --------------------------------------------------------------------------------------------

    def _request(self, query: _Query) -> None:
        if self._closed or query == self._query:
            return
        self._query = query
        self._condition.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="kosmolua models", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while query := self._next_query():
            try:
                self._ask(query, self._calls.session())
            except Exception:  # noqa: BLE001 - completion merely lacks this answer
                self._store(query, None, [])
            if not self._closed:
                self.changed()

    def _next_query(self) -> _Query | None:
        """The last query, after a pause without another query; None after `close`."""
        with self._condition:
            seen = None
            while not self._closed and (seen is None or seen != self._query):
                seen = self._query
                self._condition.wait(self._pause if seen else None)
            self._query = None
            return None if self._closed else seen

    def _ask(self, query: _Query, session: Session) -> None:
        if query.emulated != self._calls.options.emulate:
            return
        account = query.account or self._calls.options.account

        def call(function: str, arguments: dict[str, Any]) -> Any:
            if not session.lets_through(function, arguments, account):
                raise PermissionDeniedError(f"completion never asks for permission to call {function}")
            return session.call(function, arguments, account, note=lambda _: "for completion").data

        if query.version:
            from kosmolua.replicate.versions import Versions
            from kosmolua.services.plan import schemas_of

            self._store(query, Versions(call, schemas_of(session, account)).find(query.text), [])
            return
        from kosmolua.services.names import models_in

        answer = call("search", {"query": query.text}) if query.text else call("list_models", {})
        self._store(query, None, list(models_in(answer)))

    def _store(self, query: _Query, version: Version | None, found: list[tuple[str, str]]) -> None:
        with self._condition:
            if query.version:
                self._versions[query] = version
            else:
                self._found[query] = [name for name, _ in found]
                self._seen(query.emulated).add(reversed(found))  # the best match counts as the most recent
