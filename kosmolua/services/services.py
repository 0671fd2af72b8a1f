"""Services that the host offers to scripts besides the API: modules, documentation, event streams, downloads, how to
run a model. In requests of scripts, their names are ``host.<service>``. Network access goes through the session.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kosmolua.errors import ArgumentError, KosmoError, PermissionDeniedError, UsageError
from kosmolua.gate.files import Files, Mode
from kosmolua.gate.functions import resolve
from kosmolua.gate.likeness import likeness
from kosmolua.gate.origins import Origin
from kosmolua.gate.run import Reply, Ticket
from kosmolua.gate.session import NothingFetchedError, Session
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.inline import MAX_INLINE
from kosmolua.replicate.request import MAX_URL
from kosmolua.services import modules
from kosmolua.services.arguments import AnyArguments, Arguments, Name
from kosmolua.services.download import Download as DownloadTo
from kosmolua.services.earlier import MOST, Earlier, age_of, is_made_of, is_whole, key_of
from kosmolua.services.jobs import Await, Jobs
from kosmolua.services.plan import Plans
from kosmolua.services.poller import Pollers
from kosmolua.services.streams import Streams
from kosmolua.services.texts import ReadText, Stdin, Texts, WriteText
from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.custom import Custom
    from kosmolua.replicate.transfer import Opened
    from kosmolua.replicate.versions import Versions

PREFIX = "host."
MOST_PAGES = 10  # pages of predictions to search for an earlier one


_Url = Annotated[str, Meta(max_length=MAX_URL)]


class Require(Arguments, frozen=True):
    """``path`` is the script's ``package.path`` if the script changed that."""

    name: Name
    path: Annotated[str, Meta(max_length=4000)] | None = None


class Follow(Arguments, frozen=True):
    stream: int
    url: _Url
    after: _Url | None = None


class Leave(Arguments, frozen=True):
    stream: int


class Download(Arguments, frozen=True):
    url: Annotated[str, Meta(max_length=MAX_INLINE)]
    path: _Url
    mode: Mode = "new"
    sha256: Name | None = None


class Cursor(Arguments, frozen=True):
    next: _Url


class Docs(Arguments, frozen=True):
    action: Literal["list", "search", "read"]
    text: Annotated[str, Meta(max_length=1000)] = ""


class Plan(Arguments, frozen=True):
    """``validate`` converts and checks the input. Without it, the schema is only looked up if ``describe`` asks for the
    form of the output.
    """

    ref: Name
    input: dict[str, Any]
    validate: bool = True
    describe: bool = False
    resolve: bool = False


class Recall(Arguments, frozen=True, kw_only=True):
    """The origin of a prediction: the arguments of the create function, the version if known, and the input."""

    made_of: dict[str, Any]
    input: dict[str, Any]
    age: Name
    version: Name | None = None


class Keep(Arguments, frozen=True, kw_only=True):
    """A prediction that this run created. Its origin is known from the request that was sent."""

    id: Name


class Reclaim(Arguments, frozen=True, kw_only=True):
    """A creation whose answer was lost: its function, the arguments that name the model, its input, and when it was
    sent.
    """

    function: str
    made_of: dict[str, Any]
    input: dict[str, Any]
    since: Annotated[float, msgspec.Meta(ge=0, le=2e11)]


class Services:
    """Executes services for a script in ``directory``, with the files that the script may use.

    ``session`` opens the session when it is first needed; its watcher sees streams and downloads. ``check`` raises if
    the run has ended; long services call it. ``pollers`` wait for jobs. ``stdin`` is a file with a descriptor, or None.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        session: Callable[[], Session],
        check: Callable[[], None] = lambda: None,
        pollers: Pollers | None = None,
        stdin: IO[bytes] | None = None,
        customs: Mapping[str, Custom] = MappingProxyType({}),
        versions: Versions | None = None,
    ) -> None:
        self._versions = versions
        self._check = check
        self._customs = customs
        self._texts = Texts(files, session, check, stdin)
        self._jobs = Jobs(session, pollers or Pollers())
        self._files = files
        self._directory = directory
        self._session = session
        self._carry_out: dict[str, tuple[type[Arguments], Callable[[Any], Any]]] = {
            "require": (Require, self._require),
            "read": (ReadText, self._texts.read),
            "write": (WriteText, self._texts.write),
            "stdin": (Stdin, self._texts.stdin),
            "follow": (Follow, self._follow),
            "leave": (Leave, self._leave),
            "download": (Download, self._download),
            "plan": (Plan, self._plan),
            "cursor": (Cursor, self._cursor),
            "recall": (Recall, self._recall),
            "reclaim": (Reclaim, self._reclaim),
            "keep": (Keep, self._keep),
            "docs": (Docs, self._docs),
        }
        self._fetching: set[Opened] = set()
        self._over = False
        self._plans: dict[str, Plans] = {}
        self._asked_for: dict[str, str | None] = {}  # recalled digests, with the version of the model if known
        self._lock = threading.Lock()

    def __call__(self, service: str, arguments: bytes, ticket: Ticket | None = None) -> Any:
        name = service.removeprefix(PREFIX)
        if name == "await":
            return self._jobs.read(_decoded(name, Await, arguments), ticket)
        if name not in self._carry_out:
            raise UsageError(f"unknown service {service[:100]!r}", code="unknown_function")
        kind, action = self._carry_out[name]
        try:
            asked = _decoded(name, kind, arguments)
            return action(asked)
        except KosmoError:
            raise
        except Exception as error:
            raise self._session().failed(name, "", error) from error

    def watch(self, service: str, arguments: bytes, ready: Callable[[], None]) -> Callable[[], None] | None:
        """Call ``ready`` when the job of an ``await`` has ended. Returns a function that stops the watch; None for
        other services, and for an ``await`` that is carried out at once.
        """
        if service != f"{PREFIX}await":
            return None
        try:
            return self._jobs.watch(_decoded("await", Await, arguments), ready)
        except KosmoError as error:
            if error.code == "interrupted":
                raise
            return None  # the request, carried out at once, raises the same error

    def end(self) -> None:
        """End waits for events and downloads. No stream can be followed afterwards."""
        self._over = True
        if "_streams" in self.__dict__:
            self._streams.close()
        for opened in list(self._fetching):
            opened.close()

    @property
    def busy(self) -> bool:
        """Whether a file is being saved: if so, an incomplete file may still have to be removed."""
        return bool(self._fetching)

    # Modules --------------------------------------------------------------------------------------------------------

    def _require(self, asked: Require) -> dict[str, Any]:
        """A module next to the script, as its text and file name."""
        failures: list[KosmoError] = []
        for place in modules.places(asked.name, asked.path, self._directory):
            try:
                source = self._files.read(place, limit=modules.MAX_MODULE)
            except (UsageError, PermissionDeniedError) as error:
                failures.append(error)
            else:
                return modules.module(place, source)
        denied = next((each for each in failures if isinstance(each, PermissionDeniedError)), None)
        failure = denied or UsageError(
            f"require: no module {asked.name!r}: {'; '.join(each.message for each in failures)}"
        )
        failure.hint = modules.instead(asked.name) or failure.hint
        raise failure

    # Streams and files ----------------------------------------------------------------------------------------------

    @cached_property
    def _streams(self) -> Streams:
        def begin(url: str, account: str, after: str | None) -> Opened:
            arguments = {"url": url}
            if after is not None and after.isascii() and after.isprintable():  # otherwise the stream would start again
                arguments["last_event_id"] = after
            return self._session().open(catalogue.STREAM, arguments, account)

        return Streams(begin)

    def _follow(self, asked: Follow) -> dict[str, Any]:
        try:
            more = self._streams.more(asked.stream, asked.url, asked.account, asked.after)
        except NothingFetchedError:
            return {"events": [{"event": "done", "data": "{}", "id": ""}], "over": True}
        watcher = self._session().watcher
        if watcher:
            for event in more["events"]:
                watcher.followed(asked.url, event["event"], event["data"])
        return more

    def _leave(self, asked: Leave) -> None:
        self._streams.close(asked.stream)

    def _download(self, asked: Download) -> dict[str, Any]:
        """Save the content of a URL to a path that the script may write."""

        def begin(part: Mapping[str, str]) -> Opened:
            if self._over:
                raise UsageError("download: the run has ended", code="interrupted")
            opened = self._session().open(catalogue.DOWNLOAD, {"url": asked.url, **part}, asked.account)
            fetching.append(opened)
            self._fetching.add(opened)
            return opened

        def progress(received: int, total: int | None) -> None:
            if received >= 0:
                self._check()
            watcher = self._session().watcher
            if watcher:
                watcher.downloading(asked.path, received, total)

        fetching: list[Opened] = []
        try:
            if self._session().dry_run:
                self._files.check(asked.path)  # creates no directory
                begin({})
            with self._files.create(asked.path, asked.mode, asked.url) as target:
                try:
                    fetched = DownloadTo(target.file, progress).fetch(begin, asked.sha256)
                finally:
                    progress(-1, None)
        except NothingFetchedError as planned:
            return {"path": asked.path, **planned.request}
        finally:
            self._fetching.difference_update(fetching)
        return {"path": target.path, **msgspec.structs.asdict(fetched)}

    def _docs(self, asked: Docs) -> Any:
        from kosmolua.gate import custom
        from kosmolua.manual import pages

        customs = self._customs
        if asked.action == "read":
            return pages.read(asked.text, custom.texts(customs))
        if asked.action == "search":
            return [*custom.entries(customs, asked.text), *pages.search(asked.text)]
        return [*custom.entries(customs), *pages.entries()]

    def _cursor(self, asked: Cursor) -> str | None:
        """The cursor of a list's next page."""
        from kosmolua.replicate.urls import next_cursor

        return next_cursor({"next": asked.next}, self._session().base_url(asked.account))

    # Models ---------------------------------------------------------------------------------------------------------

    def _plan(self, asked: Plan) -> dict[str, Any]:
        with self._lock:
            plans = self._plans.get(asked.account) or Plans(
                self._session(), asked.account, self._versions if not asked.account else None
            )
            self._plans[asked.account] = plans
        return plans.plan(
            asked.ref, asked.input, validate=asked.validate, describe=asked.describe, resolve=asked.resolve
        )

    # Earlier predictions -------------------------------------------------------------------------------------------

    @cached_property
    def _earlier(self) -> Earlier:
        return Earlier(os.path.join(paths.cache_directory(os.environ), "predictions"))

    def _recall(self, asked: Recall) -> dict[str, Any] | None:
        """An earlier prediction of the account with the same origin, remembered on disk or listed by the API."""
        age, session = age_of(asked.age), self._session()
        origin = session.origins.origin(_as_sent(asked))
        session.origins.wanted = True
        if len(self._asked_for) < MOST:
            self._asked_for[origin.digest] = asked.version
        identifier = self._earlier.find(self._key(asked.account, origin, asked.version), age)
        if identifier:
            try:
                found = self._session().call(
                    "get_prediction", {"prediction_id": identifier}, asked.account, note=_taken
                )
            except KosmoError:
                found = None  # deleted, or not readable
            if found and is_made_of(found.data, asked.made_of, asked.input, asked.version):
                return dict(found.data)
        since = datetime.now(UTC) - timedelta(seconds=age)
        return self._listed(asked, f"{since:%Y-%m-%dT%H:%M:%SZ}")

    def _listed(self, asked: Recall, since: str) -> dict[str, Any] | None:
        from kosmolua.replicate.urls import items_of, next_cursor

        session, arguments = self._session(), {"created_after": since}
        for _ in range(MOST_PAGES):
            page = session.call("list_predictions", arguments, asked.account, note=_looked).data
            if session.dry_run:
                return None
            for item in items_of(page):
                if is_made_of(item, asked.made_of, asked.input, asked.version):
                    return dict(item)
            cursor = next_cursor(page, session.base_url(asked.account))
            if cursor is None:
                return None
            arguments["cursor"] = cursor
        return None

    def _reclaim(self, asked: Reclaim) -> dict[str, Any] | None:
        """The prediction that a creation without an answer made; each prediction is returned only once."""
        from kosmolua.gate.lost import MOST_ITEMS, SKEW, listed

        session, given = self._session(), {**asked.made_of, "input": asked.input}
        after = datetime.fromtimestamp(asked.since - SKEW, UTC)
        maybe = []

        def read(function: str, arguments: Mapping[str, Any]) -> Reply:
            return session.call(function, arguments, asked.account, note=_lost)

        arguments = {"created_after": f"{after:%Y-%m-%dT%H:%M:%SZ}"}
        items = listed(read, session.base_url(asked.account), "list_predictions", arguments)
        for item in islice(items, MOST_ITEMS):
            word = likeness("prediction", given, item)
            if word == "same" and session.reclaim(asked.function, given, item):
                return dict(item)
            maybe += [item] if word == "maybe" else []
        found = maybe[-1] if len(maybe) == 1 else None
        return dict(found) if found and session.reclaim(asked.function, given, found) else None

    def _keep(self, asked: Keep) -> None:
        """Remember a prediction by the request that created it, not by what the script says now. Only predictions that
        this run created after a `Recall` of them are remembered.
        """
        session = self._session()
        origin = session.origins.of(session.account_of(asked.account), asked.id)
        if origin and (origin.version or origin.digest in self._asked_for):
            version = self._asked_for.get(origin.digest)
            self._earlier.keep(self._key(asked.account, origin, version), asked.id)

    def _key(self, account: str, origin: Origin, version: str | None) -> str:
        session = self._session()
        known = None if origin.version else version
        return key_of(session.base_url(account), session.account_of(account), origin.digest, known)


def _as_sent(asked: Recall) -> dict[str, Any]:
    """The arguments of the call that would create the prediction, after validation."""
    kinds = {"version": "create_prediction", "deployment_name": "create_deployment_prediction"}
    name = next((kinds[each] for each in kinds if each in asked.made_of), "create_model_prediction")
    arguments = structs.decode_arguments(resolve(name), {**asked.made_of, "input": asked.input})
    return msgspec.structs.asdict(arguments)


def _taken(prediction: Any) -> str:
    if prediction is None:
        return ""
    whole = is_whole(prediction)
    return "reused its output" if whole else "its output was removed, or it did not succeed"


def _lost(_: Any) -> str:
    return "searched for a prediction whose creation had no answer"


def _looked(_: Any) -> str:
    return "searched for an earlier equal prediction"


def _decoded(name: str, kind: type[AnyArguments], arguments: bytes) -> AnyArguments:
    try:
        return msgspec.msgpack.decode(arguments, type=kind, ext_hook=structs.extension)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArgumentError(f"{name}: {error}") from None
