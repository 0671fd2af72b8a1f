"""Models and their versions."""

from __future__ import annotations

import re
from typing import Any

from werkzeug import Response

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall, Handler
from kosmolua.emulator.handlers.library import matching_models
from kosmolua.emulator.jobs import show_prediction
from kosmolua.emulator.pages import page
from kosmolua.emulator.published import PublishedModel
from kosmolua.emulator.world import Model, Version

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
LINKS = ("description", "github_url", "paper_url", "license_url", "cover_image_url", "weights_url")


def find_model(call: ApiCall) -> Model:
    slug = f"{call.arguments['model_owner']}/{call.arguments['model_name']}"
    if slug not in call.world.models:
        raise problem.not_found()
    return call.world.models[slug]


def find_version(call: ApiCall) -> tuple[Model, Version]:
    model = find_model(call)
    version = model.version(call.arguments["version_id"])
    if version is None:
        raise problem.not_found()
    return model, version


def own_model(call: ApiCall) -> Model:
    model = find_model(call)
    if model.owner != call.world.username:
        raise problem.forbidden(f"Only {model.owner} may change {model.slug}")
    return model


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        text = "Must be lowercase letters, digits, dashes, underscores and periods, with a letter or digit at both ends"
        raise problem.invalid([("pattern", "name", text)])


def check_hardware(call: ApiCall, sku: str) -> None:
    known = [one["sku"] for one in call.world.hardware]
    if sku not in known:
        raise problem.invalid([("enum", "hardware", f"Must be one of the following: {', '.join(known)}")])


def create_model(call: ApiCall) -> dict[str, Any]:
    given = call.arguments
    owner, name = given["owner"], given["name"]
    if owner != call.world.username:
        raise problem.forbidden(f"The token of {call.world.username} cannot create a model of {owner}")
    check_name(name)
    check_hardware(call, given["hardware"])
    if f"{owner}/{name}" in call.world.models:
        raise problem.conflict(f"A model with the name {owner}/{name} already exists")
    about = {link: given[link] for link in LINKS if link in given}
    model = Model(owner, name, call.now, about, given["visibility"])
    call.world.models[model.slug] = model
    return model.show(call.now, call.origin)


def get_model(call: ApiCall) -> dict[str, Any]:
    return find_model(call).show(call.now, call.origin)


def update_model(call: ApiCall) -> dict[str, Any]:
    model = own_model(call)
    model.about |= {link: call.arguments[link] for link in LINKS if link in call.arguments}
    model.readme = call.arguments.get("readme", model.readme)
    return model.show(call.now, call.origin)


def delete_model(call: ApiCall) -> None:
    model = own_model(call)
    if model.visibility != "private":
        raise problem.forbidden("Only private models can be deleted")
    if model.versions:
        raise problem.conflict("The model still has versions; delete them first")
    del call.world.models[model.slug]


def _sort_key(call: ApiCall, model: Model) -> float:
    if call.arguments.get("sort_by") == "model_created_at":
        return model.created
    return model.updated


def list_models(call: ApiCall) -> dict[str, Any]:
    public = [model for model in call.world.models.values() if model.visibility == "public"]
    descending = call.arguments.get("sort_direction", "desc") == "desc"
    public.sort(key=lambda model: _sort_key(call, model), reverse=descending)
    return _page(call, public)


def search_models(call: ApiCall) -> dict[str, Any]:
    query = call.request.get_data(as_text=True)
    return _page(call, [model for _, model in matching_models(call, query)])


def _page(call: ApiCall, models: list[Model]) -> dict[str, Any]:
    return page(call, models, lambda model: model.slug, lambda model: model.show(call.now, call.origin))


def get_model_readme(call: ApiCall) -> Response:
    model = find_model(call)
    if not model.readme:
        raise problem.not_found()
    return Response(model.readme, mimetype="text/plain")


def list_model_examples(call: ApiCall) -> dict[str, Any]:
    model = find_model(call)
    if isinstance(model, PublishedModel):
        return page(call, model.show_examples(), lambda example: str(example["id"]), dict)
    examples = model.examples
    return page(call, examples, lambda job: job.id, lambda job: show_prediction(job, call.now, call.origin))


def get_model_version(call: ApiCall) -> dict[str, Any]:
    return find_version(call)[1].show()


def list_model_versions(call: ApiCall) -> dict[str, Any]:
    model = find_model(call)
    if model.hides_versions:
        raise problem.not_found("Official models have no list of versions; run them by name.")
    return page(call, model.listed, lambda version: version.id, lambda version: version.show())


def delete_model_version(call: ApiCall) -> None:
    model, (_, version) = own_model(call), find_version(call)
    if model.visibility != "private":
        raise problem.forbidden("Only versions of private models can be deleted")
    users = [one.slug for one in call.world.deployments.values() if one.version == version.id]
    if users:
        raise problem.conflict(f"The version is deployed as {users[0]}")
    model.versions.remove(version)
    call.world.forget(version.id)


HANDLERS: dict[str, Handler] = {
    "create_model": create_model,
    "delete_model": delete_model,
    "delete_model_version": delete_model_version,
    "get_model": get_model,
    "get_model_readme": get_model_readme,
    "get_model_version": get_model_version,
    "list_model_examples": list_model_examples,
    "list_model_versions": list_model_versions,
    "list_models": list_models,
    "search_models": search_models,
    "update_model": update_model,
}
