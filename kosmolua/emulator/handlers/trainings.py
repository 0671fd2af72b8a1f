"""Trainings: a version of one model becomes a new version of another."""

from __future__ import annotations

from typing import Any

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall, Handler
from kosmolua.emulator.handlers.models import find_version
from kosmolua.emulator.handlers.predictions import feed, make_job
from kosmolua.emulator.identifiers import version_id
from kosmolua.emulator.jobs import Job, show_training
from kosmolua.emulator.pages import page


def create_training(call: ApiCall) -> dict[str, Any]:
    model, version = find_version(call)
    if version.trainer is None:
        raise problem.bad_request(f"{model.slug} cannot be trained: its version has no training input")
    _check_destination(call)
    job = make_job(call, model, version, version.trainer, "TrainingInput")
    job.destination = call.arguments["destination"]
    job.version_used = version_id("training", job.id)
    call.world.add(job)
    origin = call.origin
    feed(call, job, lambda now: show_training(job, now, origin))
    return show_training(job, call.now, call.origin)


def _check_destination(call: ApiCall) -> None:
    destination = call.arguments["destination"]
    if not destination.startswith(f"{call.world.username}/") or destination not in call.world.models:
        raise problem.not_found("The specified training destination does not exist, or does not belong to the account")


def _find(call: ApiCall) -> Job:
    if call.arguments["training_id"] not in call.world.trainings:
        raise problem.not_found()
    return call.world.trainings[call.arguments["training_id"]]


def get_training(call: ApiCall) -> dict[str, Any]:
    return show_training(_find(call), call.now, call.origin)


def cancel_training(call: ApiCall) -> dict[str, Any]:
    job = _find(call)
    job.cancel(call.now)
    return show_training(job, call.now, call.origin)


def list_trainings(call: ApiCall) -> dict[str, Any]:
    jobs = list(reversed(call.world.trainings.values()))
    return page(call, jobs, lambda job: job.id, lambda job: show_training(job, call.now, call.origin))


HANDLERS: dict[str, Handler] = {
    "cancel_training": cancel_training,
    "create_training": create_training,
    "get_training": get_training,
    "list_trainings": list_trainings,
}
