"""Account, hardware, collections, search and the webhook secret."""

from __future__ import annotations

import base64
import re
from typing import Any

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall, Handler
from kosmolua.emulator.pages import page
from kosmolua.emulator.world import Model

PAGES = (
    ("HTTP API", "https://replicate.com/docs/reference/http"),
    ("Create a prediction", "https://replicate.com/docs/topics/predictions/create-a-prediction"),
    ("Streaming output", "https://replicate.com/docs/topics/predictions/streaming"),
    ("Fine-tune an image model", "https://replicate.com/docs/get-started/fine-tune-with-flux"),
)


def get_account(call: ApiCall) -> dict[str, Any]:
    return call.world.account


def list_hardware(call: ApiCall) -> list[dict[str, str]]:
    return call.world.hardware


def _short(collection: dict[str, Any]) -> dict[str, Any]:
    return {name: collection[name] for name in ("name", "slug", "description")}


def list_collections(call: ApiCall) -> dict[str, Any]:
    return page(call, list(call.world.collections.values()), lambda one: str(one["slug"]), _short)


def get_collection(call: ApiCall) -> dict[str, Any]:
    collection = call.world.collections.get(call.arguments["collection_slug"])
    if collection is None:
        raise problem.not_found()
    models = [call.world.models[slug].show(call.now, call.origin) for slug in collection["models"]]
    return {**_short(collection), "full_description": None, "models": models}


def get_default_webhook_secret(call: ApiCall) -> dict[str, Any]:
    return {"key": "whsec_" + base64.b64encode(call.world.webhook_key).decode()}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def score(text: str, query: str) -> float:
    """The share of query words in the text, from 0 to 1; a prefix of a word matches."""
    words, wanted = _words(text), _words(query)
    hits = sum(any(word.startswith(part) for word in words) for part in wanted)
    return hits / len(wanted) if wanted else 0.0


def matching_models(call: ApiCall, query: str) -> list[tuple[float, Model]]:
    public = [model for model in call.world.models.values() if model.visibility == "public"]
    scored = [(score(f"{model.slug} {model.about.get('description')}", query), model) for model in public]
    return sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])


def _hit(call: ApiCall, rank: float, model: Model) -> dict[str, Any]:
    homes = [slug for slug, one in call.world.collections.items() if model.slug in one["models"]]
    about = {"generated_description": model.about.get("description"), "tags": homes, "score": round(rank, 4)}
    return {"model": model.show(call.now, call.origin), "metadata": about}


def search(call: ApiCall) -> dict[str, Any]:
    query = call.arguments["query"]
    models = matching_models(call, query)[: call.arguments.get("limit", 20)]
    collections = [one for one in call.world.collections.values() if score(f"{one['name']} {one['slug']}", query)]
    return {
        "query": query,
        "models": [_hit(call, rank, model) for rank, model in models],
        "collections": [_short(one) for one in collections],
        "pages": [{"name": name, "href": href} for name, href in PAGES if score(name, query)],
    }


HANDLERS: dict[str, Handler] = {
    "get_account": get_account,
    "get_collection": get_collection,
    "get_default_webhook_secret": get_default_webhook_secret,
    "list_collections": list_collections,
    "list_hardware": list_hardware,
    "search": search,
}
