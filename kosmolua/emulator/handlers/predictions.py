"""Predictions by version and by official model; those by deployment are in `deployments`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kosmolua.emulator import problem, sources, webhooks
from kosmolua.emulator.call import ApiCall, Handler, Hold
from kosmolua.emulator.clock import parse_time
from kosmolua.emulator.cog.model import TRAINS, CogVersion, make_cog_job
from kosmolua.emulator.cog.values import PREDICTION, TRAINING, Kind
from kosmolua.emulator.handlers.models import find_model
from kosmolua.emulator.jobs import OFFICIAL, Job, show_prediction
from kosmolua.emulator.models import Behaviour, Work, seed_of
from kosmolua.emulator.pages import newest
from kosmolua.emulator.schema import alike, check_object, redacted, resolve, with_defaults
from kosmolua.emulator.world import Model, Version

SIMULATED = frozenset({"stuck", "aborted"})  # faults that end a prediction before it is sent to a cog server
FOREVER = 10 * 365 * 86_400.0
_REFERENCE = re.compile(r"(?:([^/:]+/[^/:]+):)?([0-9a-f]{64})")


def make_job(call: ApiCall, model: Model, version: Version, behaviour: Behaviour, schema: str) -> Job:
    """A new job with the request's input, checked against the named schema."""
    given, shape, job_id = call.arguments["input"], resolve(version.schema, schema), call.world.ids.new()
    faults, shown = check_object(shape, given, "input", version.schema), redacted(shape, given)
    if faults and alike(shown) != alike(version.accepts):
        raise problem.invalid(faults)
    if isinstance(version, CogVersion) and not call.faults & SIMULATED:
        kind = TRAINING if schema == TRAINING.input else PREDICTION
        return _cog_job(call, model, version, kind, given, shown, job_id)
    full = with_defaults(shape, given)
    read = {name: sources.read(call.world, full[name], call.now, call.origin) for name in behaviour.reads}
    work = Work(full, seed_of(full, job_id), read)
    runs = FOREVER if "stuck" in call.faults else behaviour.runs(work) / call.world.speed
    starts = behaviour.starts / call.world.speed
    job = Job(job_id, model.slug, version.id, behaviour, work, shown, call.now, starts, runs)
    job.inline = call.world.inline
    if "aborted" in call.faults:
        job.aborted = job.created + job.starts / 2
    return job


def _cog_job(
    call: ApiCall,
    model: Model,
    version: CogVersion,
    kind: Kind,
    given: dict[str, Any],
    shown: dict[str, Any],
    job_id: str,
) -> Job:
    server = version.runner(kind)
    if server is None:
        raise problem.bad_request(
            f"{model.slug} runs on a cog server that was started for predictions. Start a second one for trainings "
            f"with `{TRAINS}`, and give both: --cog {model.slug}={version.server.wire.url},http://127.0.0.1:5001"
        )
    if server.is_full:
        raise problem.throttled(1)
    job = make_cog_job(call.world, version, server, job_id, model.slug, shown, call.now)
    job.inline = call.world.inline
    server.submit(job, given, sources.own(call.world, given, call.now, call.origin))
    return job


def start(call: ApiCall, model: Model, version: Version, *, named: bool, deployment: str | None = None) -> Hold:
    """Create a prediction of that version. Returns the answer to the request."""
    job = make_job(call, model, version, version.behaviour, "Input")
    job.deployment = deployment
    if named and not isinstance(version, CogVersion):
        # The API hides the version of an official model.
        job.version = OFFICIAL
    if (after := call.arguments.get("cancel_after")) is not None:
        job.deadline = call.now + after
    call.world.add(job)
    model.run_count += 1
    until = call.now + (call.arguments.get("wait") or 0.0)
    origin = call.origin

    def show(now: float) -> dict[str, Any]:
        return show_prediction(job, now, origin)

    feed(call, job, show)
    return Hold(job, until, show, "processing" in call.faults, "early" in call.faults)


def feed(call: ApiCall, job: Job, show: Callable[[float], dict[str, Any]]) -> None:
    """Add a feed for the webhook of the request, if webhooks are sent to it."""
    url = call.arguments.get("webhook", "")
    if webhooks.is_sent(url) and webhooks.QUIET not in call.request.environ:
        wanted = frozenset(call.arguments.get("webhook_events_filter") or webhooks.EVENTS)
        call.world.feeds.append(webhooks.Feed(url, wanted, job, show))


def create_prediction(call: ApiCall) -> Hold:
    reference = call.arguments["version"]
    official = call.world.models.get(reference)
    if official and official.official and official.latest:
        return start(call, official, official.latest, named=True)
    match = _REFERENCE.fullmatch(reference)
    found = call.world.find_version(match[2]) if match else None
    if not match or not found or match[1] not in {None, found[0].slug}:
        raise problem.unknown_version()
    return start(call, *found, named=False)


def create_model_prediction(call: ApiCall) -> Hold:
    model = find_model(call)
    if not model.official or not model.latest:
        raise problem.not_found()
    return start(call, model, model.latest, named=True)


def find_prediction(call: ApiCall) -> Job:
    job_id = call.arguments["prediction_id"]
    job = call.world.find_job(job_id)
    if job is None or job_id in call.world.trainings:
        raise problem.not_found()
    return job


def get_prediction(call: ApiCall) -> dict[str, Any]:
    job_id = call.arguments["prediction_id"]
    if not call.world.find_job(job_id) and (example := call.world.models.published_example(job_id)):
        return example
    return show_prediction(find_prediction(call), call.now, call.origin)


def cancel_prediction(call: ApiCall) -> dict[str, Any]:
    job = find_prediction(call)
    job.cancel(call.now)
    return show_prediction(job, call.now, call.origin)


def _time(call: ApiCall, name: str, otherwise: float) -> float:
    if name not in call.arguments:
        return otherwise
    try:
        return parse_time(call.arguments[name])
    except ValueError as error:
        raise problem.invalid([("format", name, "Must be an ISO 8601 time")]) from error


def list_predictions(call: ApiCall) -> dict[str, Any]:
    after, before = _time(call, "created_after", 0.0), _time(call, "created_before", FOREVER * 1000)
    wanted = call.arguments.get("source")

    def fits(job: Job) -> bool:
        return after <= job.created < before and wanted in {None, job.source}

    return newest(call, call.world, fits, lambda job: show_prediction(job, call.now, call.origin))


HANDLERS: dict[str, Handler] = {
    "cancel_prediction": cancel_prediction,
    "create_model_prediction": create_model_prediction,
    "create_prediction": create_prediction,
    "get_prediction": get_prediction,
    "list_predictions": list_predictions,
}
