"""Routes that are not operations of the catalogue: streams, output files and web pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from werkzeug import Response

from kosmolua.emulator import problem, sources
from kosmolua.emulator.call import Delivery, Handler
from kosmolua.emulator.jobs import show_prediction
from kosmolua.replicate.catalogue import Operation

if TYPE_CHECKING:
    from kosmolua.emulator.call import ApiCall


def _extra(name: str, path: str) -> Operation:
    return Operation(
        name=name, operation_id=name, access="read", method="GET", path=path, summary="", returns=None, answer="bytes"
    )


STREAM = _extra("stream", "/stream/{prediction_id}")
DELIVERY = _extra("delivery", "/delivery/{prediction_id}/{file_name}")
PREDICTION_PAGE = _extra("prediction_page", "/p/{prediction_id}")
MODEL_PAGE = _extra("model_page", "/{model_owner}/{model_name}")
EXTRAS = (STREAM, DELIVERY, PREDICTION_PAGE, MODEL_PAGE)
# Without a token: stream and output URLs are unguessable, and pages are for browsers.
OPEN = frozenset({STREAM.name, DELIVERY.name, PREDICTION_PAGE.name, MODEL_PAGE.name})


def deliver(call: ApiCall) -> Delivery:
    given = call.arguments
    found = sources.delivered(call.world, given["prediction_id"], given["file_name"], call.now)
    if found is None:
        raise problem.not_found()
    return Delivery(*found)


def show_prediction_page(call: ApiCall) -> Response:
    job = call.world.find_job(call.arguments["prediction_id"])
    if job is None:
        raise problem.not_found()
    shown: dict[str, Any] = show_prediction(job, call.now, call.origin)
    lines = (f"{name}: {shown[name]}" for name in ("id", "model", "status", "output", "error", "logs"))
    return Response("\n".join(lines), mimetype="text/plain")


def show_model_page(call: ApiCall) -> Response:
    model = call.world.models.get(f"{call.arguments['model_owner']}/{call.arguments['model_name']}")
    if model is None:
        raise problem.not_found()
    return Response(model.readme or f"# {model.slug}\n", mimetype="text/plain")


HANDLERS: dict[str, Handler] = {
    DELIVERY.name: deliver,
    PREDICTION_PAGE.name: show_prediction_page,
    MODEL_PAGE.name: show_model_page,
}
