"""Deployments. Every change creates a new release."""

from __future__ import annotations

from typing import Any

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall, Handler, Hold
from kosmolua.emulator.handlers.models import check_hardware, check_name
from kosmolua.emulator.handlers.predictions import start
from kosmolua.emulator.pages import page
from kosmolua.emulator.world import Deployment, Model, Version

REST = 15 * 60.0
"""How many seconds a deployment must be unused before it can be deleted."""
CHANGEABLE = ("version", "hardware", "min_instances", "max_instances")


def _find(call: ApiCall) -> Deployment:
    slug = f"{call.arguments['deployment_owner']}/{call.arguments['deployment_name']}"
    if slug not in call.world.deployments:
        raise problem.not_found()
    return call.world.deployments[slug]


def _check(call: ApiCall, deployment: Deployment) -> tuple[Model, Version]:
    """The model and version of the deployment. Raises a ProblemError for invalid settings."""
    check_hardware(call, deployment.hardware)
    if deployment.min_instances > deployment.max_instances:
        raise problem.invalid([("number_gte", "max_instances", "Must not be less than min_instances")])
    model = call.world.models.get(deployment.model)
    version = model.version(deployment.version) if model else None
    if model is None or version is None:
        raise problem.unknown_version()
    return model, version


def create_deployment(call: ApiCall) -> dict[str, Any]:
    given = call.arguments
    check_name(given["name"])
    facts = {name: given[name] for name in ("name", "model", *CHANGEABLE)}
    deployment = Deployment(owner=call.world.username, released=call.now, **facts)
    _check(call, deployment)
    if deployment.slug in call.world.deployments:
        raise problem.conflict(f"A deployment with the name {deployment.slug} already exists")
    call.world.deployments[deployment.slug] = deployment
    return deployment.show(call.world.account)


def get_deployment(call: ApiCall) -> dict[str, Any]:
    return _find(call).show(call.world.account)


def list_deployments(call: ApiCall) -> dict[str, Any]:
    deployments = list(reversed(call.world.deployments.values()))
    return page(call, deployments, lambda one: one.slug, lambda one: one.show(call.world.account))


def update_deployment(call: ApiCall) -> dict[str, Any]:
    old = _find(call)
    changes = {name: call.arguments[name] for name in CHANGEABLE if name in call.arguments}
    new = Deployment(**{**vars(old), **changes, "number": old.number + 1, "released": call.now})
    _check(call, new)
    call.world.deployments[new.slug] = new
    return new.show(call.world.account)


def delete_deployment(call: ApiCall) -> None:
    deployment = _find(call)
    used = [job.finish() for job in call.world.predictions.values() if job.deployment == deployment.slug]
    if deployment.min_instances > 0:
        raise problem.conflict("The deployment is online; set min_instances to 0 first")
    if used and call.now < max(used) + REST:
        raise problem.conflict("The deployment was used in the last 15 minutes")
    del call.world.deployments[deployment.slug]


def create_deployment_prediction(call: ApiCall) -> Hold:
    deployment = _find(call)
    model, version = _check(call, deployment)
    return start(call, model, version, named=False, deployment=deployment.slug)


HANDLERS: dict[str, Handler] = {
    "create_deployment": create_deployment,
    "create_deployment_prediction": create_deployment_prediction,
    "delete_deployment": delete_deployment,
    "get_deployment": get_deployment,
    "list_deployments": list_deployments,
    "update_deployment": update_deployment,
}
