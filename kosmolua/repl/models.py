"""Models, for whoever types: their names, and what one takes. A look-up never keeps a keystroke waiting: it is answered
from what is known, and what is not is asked for behind the typing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kosmolua.errors import KosmoError, PermissionDeniedError
from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.session import Session
    from kosmolua.repl.calls import Calls
    from kosmolua.replicate.versions import Version
    from kosmolua.services.names import Names

PAUSE = 0.25  # seconds without another wish, before the last one is asked for
FILE = "models.json"
_MIN_WORD = 2  # characters that are worth a search


class _Wish(NamedTuple):
    version: bool  # else names
    text: str
    account: str
    emulated: bool


class Models:
    """Knows what was seen, and asks for the rest: once each, one request after a pause, and only where the policy lets
    it through without a question. ``changed`` is told, on another thread, when there is more to know.
    """

    def __init__(self, calls: Calls, *, pause: float = PAUSE) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._calls = calls
        self._pause = pause
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wish: _Wish | None = None
        self._closed = False
        self._names: dict[bool, Names] = {}  # the emulator's, and Replicate's
        self._versions: dict[_Wish, Version | None] = {}
        self._found: dict[_Wish, list[str]] = {}

    def names(self, word: str, account: str = "") -> Sequence[tuple[str, str]]:
        """Models and deployments by a part of a name or description, best first, with a word about each."""
        wish = _Wish(False, word if len(word) >= _MIN_WORD else "", account, self._calls.options.emulate)
        with self._condition:
            if wish not in self._found:
                self._want(wish)
            return self._seen(wish.emulated).ranked(word, self._found.get(wish, ()))

    def version(self, reference: str, account: str = "") -> Version | None:
        """What is known of a model's version by now."""
        wish = _Wish(True, reference, account, self._calls.options.emulate)
        with self._condition:
            if wish not in self._versions:
                self._want(wish)
            return self._versions.get(wish)

    def note(self, answer: Any) -> None:
        """Remember the models that an answer tells of."""
        from kosmolua.services.names import models_in

        found = list(models_in(answer))
        if found:
            with self._condition:
                self._seen(self._calls.options.emulate).add(found)

    def close(self) -> None:
        """Ask for nothing more, and keep the names."""
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

    # Behind the typing --------------------------------------------------------------------------------------------

    def _want(self, wish: _Wish) -> None:
        if self._closed or wish == self._wish:
            return
        self._wish = wish
        self._condition.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._fulfil, name="kosmolua models", daemon=True)
            self._thread.start()

    def _fulfil(self) -> None:
        while wish := self._settled():
            try:
                self._ask(wish, self._calls.session())
            except KosmoError:
                self._keep(wish, None, [])
            except Exception:
                if not self._closed:  # or the session was closed meanwhile
                    raise
            if not self._closed:
                self.changed()

    def _settled(self) -> _Wish | None:
        """The wish that no other has followed for as long as the pause; None at the end."""
        with self._condition:
            seen = None
            while not self._closed and (seen is None or seen != self._wish):
                seen = self._wish
                self._condition.wait(self._pause if seen else None)
            self._wish = None
            return None if self._closed else seen

    def _ask(self, wish: _Wish, session: Session) -> None:
        if wish.emulated != self._calls.options.emulate:
            return
        account = wish.account or self._calls.options.account

        def call(function: str, arguments: dict[str, Any]) -> Any:
            if not session.lets_through(function, arguments, account):
                raise PermissionDeniedError(f"{function} is not asked about for a completion")
            return session.call(function, arguments, account, note=lambda _: "looked up to complete").data

        if wish.version:
            from kosmolua.replicate.versions import Versions
            from kosmolua.services.plan import schemas_of

            self._keep(wish, Versions(call, schemas_of(session, account)).find(wish.text), [])
            return
        from kosmolua.services.names import models_in

        answer = call("search", {"query": wish.text}) if wish.text else call("list_models", {})
        self._keep(wish, None, list(models_in(answer)))

    def _keep(self, wish: _Wish, version: Version | None, found: list[tuple[str, str]]) -> None:
        with self._condition:
            if wish.version:
                self._versions[wish] = version
            else:
                self._found[wish] = [name for name, _ in found]
                self._seen(wish.emulated).add(reversed(found))  # the best is the last seen
