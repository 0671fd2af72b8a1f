"""The emulator as a WSGI application: routes from the catalogue, one lock for all data, errors like the API's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from werkzeug import Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.http import http_date
from werkzeug.routing import Map, Rule

from kosmolua._version import __version__
from kosmolua.emulator import extras, misbehaviour, parameters, problem, stream
from kosmolua.emulator.call import Answer, ApiCall, ApiRequest, Delivery, Handler, Hold
from kosmolua.emulator.clock import Clock, SystemClock
from kosmolua.emulator.cog.model import add_cogs
from kosmolua.emulator.documents import Documents
from kosmolua.emulator.faults import Fault, FaultBox
from kosmolua.emulator.genesis import seed_world
from kosmolua.emulator.handlers import HANDLERS
from kosmolua.emulator.identifiers import IdSource, sign
from kosmolua.emulator.jobs import encode
from kosmolua.emulator.rates import RateMeter
from kosmolua.emulator.webhooks import Courier
from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import OPERATIONS, Operation

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PREFIX = "/v1"
REFUSED_TOKENS = frozenset({"", "invalid"})
LIGHTEST = 4096  # the fewest bytes that a request counts as: about what is stored for it
# Seconds between checks of a blocking create: another request may cancel its prediction.
LOOK = 0.05
SOON = 0.001
# The other fields of a blocking create's answer if the API sends the output before the prediction has ended.
EARLY: dict[str, Any] = {"status": "processing", "logs": "", "metrics": {}, "started_at": None, "completed_at": None}


def _rule(operation: Operation, prefix: str) -> Rule:
    path = operation.path.replace("{", "<").replace("}", ">")
    return Rule(prefix + path, methods=[operation.method], endpoint=operation.name)


ROUTES = Map(
    [
        *(_rule(operation, PREFIX) for operation in OPERATIONS),
        *(_rule(operation, "") for operation in extras.EXTRAS),
    ],
    merge_slashes=False,
)
BY_ROUTE = {operation.name: operation for operation in (*OPERATIONS, *extras.EXTRAS)}
ALL_HANDLERS: dict[str, Handler] = {**HANDLERS, **extras.HANDLERS}


class Emulator:
    """Replicate's HTTP API in memory, below ``/v1``; a WSGI application that any number of threads may call.

    ``faults`` are specifications for `parse_fault`. All emulators with the same ``seed`` have the same ids and secrets.
    ``capacity`` limits the total bytes of all POST requests, for an emulator that shares a process. Raises a UsageError
    for an unknown fault or an invalid option. A single fault or cog may be given as a string.

    ``models`` is a file or directory with the JSON of public models, as ``get_model`` and ``list_models`` return it.
    With ``outputs="data"`` outputs contain their files as data URLs. The last events of a stream have no id, as in the
    API's guide; with ``streams="ids"`` they have one. Every answer is delayed by ``latency`` seconds, and models run
    ``speed`` times faster.

    ``cogs`` are models that run on cog servers of this machine, as ``owner/name=http://127.0.0.1:5000``. After a comma
    there may be a second server, for trainings. Cog servers need a clock that advances on its own.

    A thread sends webhooks while predictions with a webhook on this machine are running; `close` stops the thread.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        faults: Iterable[str] = (),
        seed: int | str | None = None,
        capacity: int | None = None,
        models: str | os.PathLike[str] | None = None,
        outputs: Literal["url", "data"] = "url",
        streams: Literal["guide", "ids"] = "guide",
        latency: float = 0.0,
        speed: float = 1.0,
        cogs: Iterable[str] = (),
    ) -> None:
        _check(outputs, streams, speed, latency)
        self.clock: Clock = clock or SystemClock()
        self._faults = FaultBox(_several(faults), self.clock.time())
        self._ids = IdSource(seed)
        self._world = seed_world(self._ids, self.clock.time(), Documents(models) if models else None)
        self._lock = RLock()
        self._rates = RateMeter()
        self._courier = Courier(self._world, self.clock, self._lock)
        self._world.inline, self._world.speed = outputs == "data", speed
        self._latency, self._all_ids = latency, streams == "ids"
        self._capacity = capacity
        add_cogs(self._world, _several(cogs), self._lock, self.clock)
        self._taken = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = ApiRequest(environ)
        # Closes the temporary files of an upload.
        with request:
            response = self._respond(request)
        return response(environ, start_response)

    def close(self) -> None:
        """Send the webhooks that are due (at most a second), stop the thread, and cancel the jobs on cog servers."""
        for model in self._world.cogs.values():
            model.close()
        self._courier.close()

    def add_faults(self, faults: Iterable[str]) -> None:
        """Add faults to the running emulator. Raises a UsageError for an unknown fault."""
        self._faults.add(_several(faults), self.clock.time())

    def sign_download(self, file_id: str, expiry: int) -> dict[str, str]:
        """The query of a valid download link: owner, expiry (Unix seconds) and signature."""
        owner = self._world.username
        signature = sign(self._world.signing_secret, owner, file_id, expiry)
        return {"owner": owner, "expiry": str(expiry), "signature": signature}

    def _respond(self, request: ApiRequest) -> Response:
        try:
            response = self._perform(request)
        except problem.ProblemError as error:
            response = refusal(error)
        return self._stamp(response, request)

    def _perform(self, request: ApiRequest) -> Response:
        operation, path = match(request)
        faults = self._pick(operation, request)
        if self._latency:
            self.clock.sleep(self._latency)
        if "slow" in faults:
            self.clock.sleep(faults["slow"].number("seconds"))
        if (response := misbehaviour.instead(faults)) is not None:
            return response
        authenticate(operation, request)
        origin = request.host_url.rstrip("/")
        call = ApiCall(operation, request, self._world, self.clock.time(), origin, dict(path), frozenset(faults))
        try:
            call.arguments = parameters.read(operation, request, path)
            response = self._stream(call) if operation is extras.STREAM else self._finish(call, self._handle(call))
        except problem.ProblemError as error:
            response = refusal(error)
        return misbehaviour.spoil(response, faults, call)

    def _pick(self, operation: Operation, request: ApiRequest) -> dict[str, Fault]:
        try:
            return self._faults.pick(operation, request, self.clock.time())
        except UsageError as error:
            raise problem.bad_request(f"{error} ({error.hint})" if error.hint else str(error)) from error

    def _handle(self, call: ApiCall) -> Answer:
        for model in self._world.cogs.values():
            if model.is_meant(call.arguments):
                model.refresh(self._lock, call.now)
        with self._lock:
            if call.operation.method == "POST":
                self._weigh(call.request.content_length or 0)
            self._world.settle(call.now)
            answer = ALL_HANDLERS[call.operation.name](call)
            self._courier.wake()
        return answer

    def _weigh(self, size: int) -> None:
        self._taken += max(LIGHTEST, size)
        if self._capacity is not None and self._taken > self._capacity:
            raise problem.too_large(f"The emulator has reached its capacity of {self._capacity} bytes.")

    def _finish(self, call: ApiCall, answer: Answer) -> Response:
        status = call.operation.success[0]
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, Delivery):  # not under the lock: painting takes long
            return Response(answer.content.read(), content_type=answer.content_type)
        if isinstance(answer, Hold):
            if answer.job.behaviour.reads:  # its input files may have to be painted: not under the lock
                answer.job.outcome()
            return self._hold(answer, waits=call.arguments.get("wait") is not None)
        return Response(status=status) if call.operation.answer == "none" else json_response(answer, status)

    def _hold(self, hold: Hold, *, waits: bool) -> Response:
        """The answer to a create: 201, or 202 if it waited and the job is not done."""
        while True:
            with self._lock:
                now = self.clock.time()
                moment = hold.job.at(now)
                shown = hold.show(now)
            if hold.half_done and moment.status == "processing":
                return json_response({**shown, "output": None}, 202)
            if hold.early and moment.status == "succeeded":
                return json_response({**shown, **EARLY}, 201)
            if moment.terminal or now >= hold.until:
                return json_response(shown, 202 if waits and not moment.terminal else 201)
            self.clock.sleep(min(LOOK, hold.until - now, max(SOON, hold.job.finish() - now)))

    def _stream(self, call: ApiCall) -> Response:
        with self._lock:
            job = self._world.find_job(call.arguments["prediction_id"])
            if job is None or not job.behaviour.streams or job.removed(call.now):
                raise problem.not_found()
        last = call.request.headers.get("Last-Event-ID")
        events = stream.follow(job, self.clock, self._lock, last, cut="stream-cut" in call.faults, ids=self._all_ids)
        return Response(events, mimetype="text/event-stream", headers={"Cache-Control": "no-store"})

    def _stamp(self, response: Response, request: ApiRequest) -> Response:
        response.headers["Server"] = f"kosmolua-emulator/{__version__}"
        response.headers["Date"] = http_date(self.clock.time())
        with self._lock:
            response.headers["X-Request-Id"] = self._ids.request()
            response.headers.update(self._rates.count(request.method == "POST", self.clock.time()))
        return response


def _several(given: Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given


def _check(outputs: str, streams: str, speed: float, latency: float) -> None:
    for name, value, known in (("outputs", outputs, ("url", "data")), ("streams", streams, ("guide", "ids"))):
        if value not in known:
            raise UsageError(f"{name}: expected {' or '.join(known)}, got {value!r}")
    if not speed > 0:
        raise UsageError(f"speed: expected a number above 0, such as 10, got {speed!r}")
    if not latency >= 0:
        raise UsageError(f"latency: expected seconds, such as 0.1, got {latency!r}")


def match(request: ApiRequest) -> tuple[Operation, dict[str, Any]]:
    try:
        name, path = ROUTES.bind_to_environ(request.environ).match()
    except MethodNotAllowed as error:
        allowed = ", ".join(sorted(error.valid_methods or ()))
        raise problem.ProblemError(
            405, "Method not allowed", f'Method "{request.method}" not allowed.', headers={"Allow": allowed}
        ) from error
    except HTTPException as error:
        raise problem.not_found() from error
    return BY_ROUTE[name], dict(path)


def authenticate(operation: Operation, request: ApiRequest) -> None:
    header = request.headers.get("Authorization")
    if header is None and operation.name in extras.OPEN:
        return
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() not in {"bearer", "token"} or token.strip() in REFUSED_TOKENS:
        raise problem.unauthenticated()


def refusal(error: problem.ProblemError) -> Response:
    return json_response(error.document, error.status, problem.PROBLEM_TYPE, error.headers)


def json_response(
    document: Any, status: int, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> Response:
    return Response(encode(document), status, headers, content_type=content_type)
