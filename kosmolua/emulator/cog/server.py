"""The cog server of a model: its schema, the queue of predictions, and the threads that run them on the server."""

from __future__ import annotations

import base64
import mimetypes
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from kosmolua.emulator.clock import Clock
from kosmolua.emulator.cog.job import CogJob
from kosmolua.emulator.cog.shapes import fault_of
from kosmolua.emulator.cog.values import PREDICTION, Kind, has_files, refusal, sent_input
from kosmolua.emulator.cog.wire import LARGEST, PATIENCE, CogAnswer, CogError, Wire
from kosmolua.emulator.models import Content
from kosmolua.emulator.schema import resolve

if TYPE_CHECKING:
    from kosmolua.emulator.cog.listener import Listener

MOST_THREADS = 16
"""The most predictions sent to one server at once. The server decides how many it accepts; the others wait."""
MOST_WAITING = 1000
MOST_HELD = 1 << 30
"""The most bytes of outputs kept for one server. Beyond that, the oldest predictions lose their data early."""
SILENT = 0.25  # seconds without an answer after which a prediction counts as accepted
PAUSE = 0.25  # seconds before a busy server is asked again
LOOK = 1.0  # seconds between checks of a server that reports the end of a prediction by webhook
_MISSED = 3  # checks that find the server idle, after which that webhook counts as lost
_ACCEPTED, _BUSY, _INVALID, _OK, _UNAVAILABLE = 202, 409, 422, 200, 503
_PROGRESS = ["start", "output", "logs"]
_BROKEN = ("SETUP_FAILED", "DEFUNCT")

Sources = Mapping[str, "Content | str"]


@dataclass(frozen=True)
class Facts:
    """What a server says about itself. ``blocks``: like cog 0.9, it answers nothing else while a prediction runs."""

    schema: dict[str, Any]
    version: str
    blocks: bool


@dataclass
class _Waiting:
    job: CogJob
    given: Mapping[str, Any]
    sources: Sources  # by URL: the emulator's own files in the input, or why a file cannot be read


class CogServer:
    """One server, which runs predictions or trainings. ``facts`` are those of the last `look`.

    The lock is the emulator's.
    """

    def __init__(self, url: str, lock: threading.RLock, clock: Clock, kind: Kind = PREDICTION) -> None:
        self.wire, self.kind = Wire(url), kind
        self._lock, self._clock = lock, clock
        self._ready = threading.Condition(lock)
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[str, CogJob] = {}
        self._done: deque[CogJob] = deque()
        self._held = 0
        self._room = MOST_THREADS
        self._threads = 0
        self._closing = False
        self._listener: Listener | None = None
        self.facts = self.look()

    def look(self, timeout: float = PATIENCE) -> Facts:
        """Read the schema and version. Raises a CogError if the server is not cog, or is not ready."""
        schema, index = self.wire.ask("GET", "/openapi.json", timeout), self.wire.ask("GET", "/", timeout)
        if fault := fault_of(schema.fields):
            raise CogError(f"cog at {self.wire.url} gives an invalid schema: {fault}")
        if schema.status != _OK or not resolve(schema.fields, "Input"):
            raise CogError(f"cog at {self.wire.url} gives no schema: status {schema.status}")
        version = index.fields.get("cog_version")
        document = dict(schema.fields)
        self.facts = Facts(document, str(version or "0.9"), blocks=version is None)
        return self.facts

    @property
    def is_idle(self) -> bool:
        return not self._running

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    def submit(self, job: CogJob, given: Mapping[str, Any], sources: Sources) -> None:
        """Queue a prediction. Called under the lock."""
        self._waiting.append(_Waiting(job, given, sources))
        if self._threads < MOST_THREADS and not self._closing:
            self._threads += 1
            threading.Thread(target=self._work, name="cog", daemon=True).start()

    def close(self) -> None:
        """Cancel the running predictions, and stop the threads."""
        with self._ready:
            self._closing = True
            self._waiting.clear()
            for job in list(self._running.values()):
                job.cancel(self._clock.time())
            self._ready.notify_all()
            self._ready.wait_for(lambda: not self._threads, timeout=1.0)
        if self._listener:
            self._listener.close()

    def _work(self) -> None:
        while (waiting := self._take()) is not None:
            busy = self._run(waiting)
            with self._ready:
                del self._running[waiting.job.id]
                if busy:
                    # The server accepts no more predictions at once than the others that are running.
                    self._room = max(1, len(self._running))
                    self._waiting.appendleft(waiting)
                    self._ready.wait(PAUSE)
                self._ready.notify_all()

    def _take(self) -> _Waiting | None:
        """Wait until the server has room and has accepted the previous prediction. Returns the next, or None."""
        with self._ready:
            while self._waiting and not self._closing:
                room = 1 if self.facts.blocks else self._room
                waiting = self._waiting[0]
                if waiting.job.overdue(self._clock.time()):
                    self._waiting.popleft()
                elif len(self._running) < room and all(job.began is not None for job in self._running.values()):
                    self._waiting.popleft()
                    self._running[waiting.job.id] = waiting.job
                    return waiting
                else:
                    self._ready.wait(PAUSE)
            self._room = MOST_THREADS
            self._threads -= 1
            self._ready.notify_all()
            return None

    def _run(self, waiting: _Waiting) -> bool:
        """Run a prediction to its end. Returns True if the server is busy and the prediction has to wait."""
        job = waiting.job
        try:
            answer = _Attempt(self, waiting).answer()
        except CogError as error:
            self._fail(job, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - the thread continues with the next prediction
            self._fail(job, f"cog at {self.wire.url} cannot run it: {type(error).__name__}: {error}")
            return False
        if answer is None:  # canceled, or out of time
            return False
        if answer.status in {_BUSY, _UNAVAILABLE} and not self._is_broken(job):
            return True
        with self._lock:
            now = self._clock.time()
            if answer.status in {_OK, _ACCEPTED}:
                job.complete(answer.fields, now)
            else:
                text = refusal(answer.document)
                job.fail(text if answer.status == _INVALID else f"cog answered {answer.status}: {text}", now)
        return False

    def _is_broken(self, job: CogJob) -> bool:
        """Whether the server's setup failed; if so, fail the prediction with the logs of the setup."""
        health = self.wire.ask("GET", "/health-check").fields
        if health.get("status") not in _BROKEN:
            return False
        setup = health.get("setup")
        logs = setup.get("logs") if isinstance(setup, Mapping) else ""
        with self._lock:
            job.begin(self._clock.time())
            job.fail("Model setup failed", self._clock.time(), str(logs or ""))
        return True

    def _fail(self, job: CogJob, message: str) -> None:
        with self._lock:
            job.fail(message, self._clock.time())

    def hook(self, job_id: str) -> str:
        with self._lock:
            if self._listener is None:
                from kosmolua.emulator.cog.listener import Listener

                self._listener = Listener(self._report)
            return self._listener.url(job_id)

    def _report(self, job_id: str, report: dict[str, Any]) -> None:
        with self._ready:
            job = self._running.get(job_id)
            if job is None:
                return
            job.report(report, self._clock.time())
            self._ready.notify_all()

    def keep(self, job: CogJob) -> None:
        """Count the files of a prediction that ended. Called under the lock."""
        self._done.append(job)
        self._held += job.size
        while self._held > MOST_HELD and len(self._done) > 1:
            oldest = self._done.popleft()
            self._held -= oldest.size
            oldest.free()

    def begin(self, job: CogJob) -> bool:
        """Note that the server is running the job. Returns False if the job was canceled or has timed out."""
        with self._ready:
            if job.began is None:
                job.begin(self._clock.time())
                self._ready.notify_all()
            return not job.overdue(self._clock.time())

    def in_time(self, job: CogJob) -> bool:
        with self._lock:
            return not job.overdue(self._clock.time())


class _Attempt:
    """One try to run a prediction.

    In every version of cog, the answer to a synchronous request contains the output's files. Only cog 0.9 ignores a
    cancel during such a request. So if the output has no files, cog 0.9 gets an asynchronous request, and sends a
    webhook at the end.
    """

    def __init__(self, server: CogServer, waiting: _Waiting) -> None:
        self._server, self._job, self._waiting = server, waiting.job, waiting
        facts, kind = server.facts, server.kind
        self._job.by_webhook = facts.blocks and not has_files(resolve(facts.schema, kind.output), facts.schema)
        # Cog 0.9 answers 500 to /trainings. A server that was started for trainings runs them as /predictions.
        place = PREDICTION.place if facts.blocks else kind.place
        self._path = f"/{place}/{self._job.id}"
        self._sent = 0.0

    def answer(self) -> CogAnswer | None:
        body = self._body()
        self._sent = time.monotonic()
        wire = self._server.wire
        answer = wire.predict(self._path, body, respond_async=self._job.by_webhook, wait=self._wait)
        if not self._job.by_webhook or answer is None or answer.status != _ACCEPTED:
            return answer
        return self._until_reported()

    def _wait(self) -> bool:
        """Note an accepted prediction while there is no answer: a server that refuses one does so at once."""
        if time.monotonic() - self._sent < SILENT:
            return self._server.in_time(self._job)
        return self._server.begin(self._job)

    def _body(self) -> bytes:
        schema, kind = self._server.facts.schema, self._server.kind
        body = msgspec.json.encode(
            {
                "id": self._job.id,
                "input": sent_input(schema, kind, self._waiting.given, self._fetch),
                "webhook": self._server.hook(self._job.id),
                "webhook_events_filter": [*_PROGRESS, "completed"] if self._job.by_webhook else _PROGRESS,
            }
        )
        if len(body) > LARGEST:
            raise CogError(f"the input with its files is larger than {LARGEST >> 20} MiB")
        return body

    def _fetch(self, url: str) -> str:
        """The data URL of an emulator file. Any other URL is returned unchanged, for cog to read."""
        found = self._waiting.sources.get(url)
        if found is None:
            return url
        if isinstance(found, str):
            raise CogError(found)
        content_type = mimetypes.guess_type(url.partition("?")[0])[0] or "application/octet-stream"
        return f"data:{content_type};base64,{base64.b64encode(found.read()).decode()}"

    def _until_reported(self) -> CogAnswer | None:
        missed, looked = 0, time.monotonic()
        while self._server.begin(self._job):
            time.sleep(0.02)
            if time.monotonic() - looked > LOOK:
                health = self._server.wire.ask("GET", "/health-check").fields.get("status")
                missed, looked = 0 if health == "BUSY" else missed + 1, time.monotonic()
            if missed > _MISSED:
                raise CogError(
                    f"cog at {self._server.wire.url} ended the prediction without a webhook: can it reach this machine?"
                )
        if not self._job.reported:
            self._server.wire.stop(self._job.id)
        return None
