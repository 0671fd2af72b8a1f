"""The operations of the Replicate HTTP API (v1, https://api.replicate.com/v1) as data.

Each entry holds the facts of Replicate's published OpenAPI description and documentation. Everything else that depends
on functions is derived from here: argument types, requests, the command line, the Lua tables, the emulator's routes,
the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

PROVIDER = "replicate"
SERVER = "https://api.replicate.com/v1"
CUSTOM = "custom."
"""Prefix of the names of the host's own functions."""

Access = Literal["read", "write"]
Place = Literal["path", "query", "header", "body"]
Kind = Literal["string", "integer", "boolean", "object", "array", "bytes"]
Answer = Literal["json", "text", "bytes", "none"]
Job = Literal["prediction", "training"]
Created = Literal["prediction", "training", "file", "model", "deployment"]
UNDO: dict[Created, str] = {
    "prediction": "cancel_prediction",
    "training": "cancel_training",
    "file": "delete_file",
    "model": "delete_model",
    "deployment": "delete_deployment",
}
"""For each kind of created object, the function that undoes its creation: deletes it, or cancels a running job."""

Lane = Literal["", "create", "stream"]
_REFUSED = (400, 409)  # statuses of a request that the object's current state does not allow


class Parameter(Struct, frozen=True, kw_only=True):
    """One argument of an operation.

    ``enum`` lists the values of a string, or of the items of an array. ``pattern`` is a regular expression a string
    must match, and ``expected`` describes it in words. ``header`` is the HTTP name of a header. ``alias`` is another
    name that callers may use.
    """

    name: str
    place: Place
    kind: Kind = "string"
    required: bool = False
    help: str = ""
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    expected: str | None = None
    format: str | None = None
    header: str | None = None
    alias: str = ""
    deprecated: bool = False
    default: str | int | UnsetType = UNSET


_JOBS: dict[str, Job] = {
    "Prediction": "prediction",
    "Page<Prediction>": "prediction",
    "Training": "training",
    "Page<Training>": "training",
}


class Proof(Struct, frozen=True):
    """How to find out whether an interrupted write was executed.

    ``how`` is one of:

    - "repeat": not needed, since sending the write again changes nothing more;
    - "gone": ``read`` answers 404 if the write was executed;
    - "listed": ``list`` shows what was created, recognized by its request, and ``read`` returns it in full;
    - "named": ``read`` shows an object with the fields that were sent;
    - "released": ``read`` or ``list`` shows a deployment whose current release is the one sent;
    - "unknown": there is no way to find out.

    ``place`` maps parameters of ``read`` to those of the write if their names differ.
    """

    how: Literal["repeat", "gone", "listed", "named", "released", "unknown"]
    read: str = ""
    list: str = ""
    place: dict[str, str] = {}


class Operation(Struct, frozen=True, kw_only=True, eq=False):
    """One function of the API.

    ``returns`` names a result in `kosmolua.replicate.results`, ``Page<T>`` a page of them, ``T[]`` a bare list.
    ``blocking`` operations may delay the answer until a model is done (``Prefer: wait``). The answer of a ``secret``
    operation is never logged or recorded; cassettes contain its ``placeholder`` instead. ``creates`` names the kind of
    object that the operation creates. ``idempotent`` writes have the same effect when they are sent twice. ``proof``
    says how to find out whether an interrupted write was executed; every write has one. Calls in one ``lane`` wait for
    each other, but do not delay calls in other lanes: the API may delay creates, and streams may be silent for long.
    ``refusals`` has a hint for each status with which the API refuses the call for a documented reason.
    """

    name: str
    operation_id: str
    access: Access
    method: str
    path: str
    summary: str
    returns: str | None
    success: tuple[int, ...] = (200,)
    parameters: tuple[Parameter, ...] = ()
    content_type: str | None = None
    answer: Answer = "json"
    blocking: bool = False
    secret: bool = False
    placeholder: dict[str, Any] | None = None
    creates: Created | None = None
    idempotent: bool = False
    proof: Proof | None = None
    lane: Lane = ""
    note: str = ""
    refusals: Mapping[int, str] = {}
    example: dict[str, Any] = {}

    @property
    def full_name(self) -> str:
        return f"{PROVIDER}_{self.name}"

    @property
    def paged(self) -> bool:
        return self.returns is not None and self.returns.startswith("Page<")

    @property
    def starts(self) -> Job | None:
        """The kind of job that the operation starts; a job uses compute and costs money."""
        return self.creates if self.creates in ("prediction", "training") else None

    @property
    def job(self) -> Job | None:
        """The kind of job that the answer, or each item of a page, describes."""
        return _JOBS.get(self.returns or "")

    @property
    def safe(self) -> bool:
        """Whether the method changes nothing, so that the request may be sent again."""
        return self.method in {"GET", "QUERY"}

    @property
    def names(self) -> tuple[str, str, str]:
        """The names a caller may use: short, with the provider's prefix, and the API's own operation id."""
        return self.name, self.full_name, self.operation_id

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name or alias."""
        return next((each for each in self.parameters if name and name in (each.name, each.alias)), None)


def _path(name: str, help: str) -> Parameter:  # noqa: A002 - the field's name
    return Parameter(name=name, place="path", required=True, help=help)


def _body(name: str, help: str, kind: Kind = "string", **facts: Any) -> Parameter:  # noqa: A002 - the field's name
    return Parameter(name=name, place="body", kind=kind, help=help, **facts)


def _query(name: str, help: str, kind: Kind = "string", **facts: Any) -> Parameter:  # noqa: A002 - the field's name
    return Parameter(name=name, place="query", kind=kind, help=help, **facts)


def _sent(name: str, header: str, help: str) -> Parameter:  # noqa: A002 - the field's name
    printable = r"^[ -~]{1,1000}$(?!\n)"
    return Parameter(name=name, place="header", header=header, help=help, pattern=printable, expected="plain text")


CURSOR = _query("cursor", "Cursor of a page, from the `next` URL of the previous page.")
PREDICTION_ID = _path("prediction_id", "Id of the prediction.")
TRAINING_ID = _path("training_id", "Id of the training.")
FILE_ID = _path("file_id", "Id of the file.")
MODEL = (
    _path("model_owner", "User or organization that owns the model."),
    _path("model_name", "Name of the model."),
)
VERSION_ID = _path("version_id", "Id of the model version, 64 hexadecimal characters.")
DEPLOYMENT = (
    _path("deployment_owner", "User or organization that owns the deployment."),
    _path("deployment_name", "Name of the deployment."),
)
HARDWARE_SKU = "SKU of the hardware, as list_hardware lists it."
MIN_INSTANCES = "Lower bound of automatic scaling, in instances."
MAX_INSTANCES = "Upper bound of automatic scaling, in instances."

INPUT = _body(
    "input",
    "Inputs of the model, by the names in its input schema. A file is an HTTP URL, or a data URL up to 256 kB.",
    "object",
    required=True,
)
WEBHOOKS = (
    _body(
        "webhook",
        "HTTPS URL that gets the prediction or training whenever it changes. Redirects are not followed.",
        format="uri",
    ),
    _body(
        "webhook_events_filter",
        "Which events call the webhook. `output` and `logs` are sent at most every 500 ms.",
        "array",
        enum=("start", "output", "logs", "completed"),
    ),
)
RUN = (
    INPUT,
    *WEBHOOKS,
    _body(
        "stream",
        "Ask for a stream URL. Not needed: models that stream always return one.",
        "boolean",
        deprecated=True,
    ),
    Parameter(
        name="prefer",
        place="header",
        header="Prefer",
        help='Delay the answer until the model is done: "wait", or "wait=n" for at most n seconds, 1 to 60.',
        pattern=r"^wait(=([1-9]|[1-5][0-9]|60))?$(?!\n)",
        expected='"wait" or "wait=n" with n from 1 to 60',
    ),
    Parameter(
        name="cancel_after",
        place="header",
        header="Cancel-After",
        alias="lifetime",
        help="Cancel the prediction after this time: 30, 30s, 5m, 1h30m45s. At least 5 seconds. Alias: lifetime.",
        # Durations below 5 seconds are excluded: 0 to 4, with or without an s and leading zeros, and other parts that
        # are zero.
        pattern=r"^(?!(0+h)?(0+m)?0*[0-4]?s?$)([0-9]{1,9}|(?=[0-9])([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?)$(?!\n)",
        expected="a duration of at least 5 seconds, such as 30, 30s, 5m or 1h30m45s",
    ),
)
MODEL_LINKS = (
    _body("description", "What the model does."),
    _body("github_url", "URL of the source code."),
    _body("paper_url", "URL of the paper."),
    _body("license_url", "URL of the license."),
)

_VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
_PREDICTION = "gm3qorzdhgbfurvjtvhg6dckhu"
_TRAINING = "zz4ibbonubfz7carwiefibzgga"
_FILE = "cneqzikepnug6xezperrr4z55o"
_HELLO = {"model_owner": "replicate", "model_name": "hello-world"}
_ACME = {"deployment_owner": "acme", "deployment_name": "my-app-image-generator"}

LISTED_PREDICTION = Proof("listed", read="get_prediction", list="list_predictions")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="cancel_prediction",
        operation_id="predictions.cancel",
        access="write",
        idempotent=True,
        proof=Proof("repeat"),
        method="POST",
        path="/predictions/{prediction_id}/cancel",
        summary="Stop a prediction that is starting or running.",
        parameters=(PREDICTION_ID,),
        returns="Prediction",
        example={"prediction_id": _PREDICTION},
    ),
    Operation(
        name="cancel_training",
        operation_id="trainings.cancel",
        access="write",
        idempotent=True,
        proof=Proof("repeat"),
        method="POST",
        path="/trainings/{training_id}/cancel",
        summary="Stop a training that is starting or running.",
        parameters=(TRAINING_ID,),
        returns="Training",
        example={"training_id": _TRAINING},
    ),
    Operation(
        name="create_deployment",
        operation_id="deployments.create",
        access="write",
        creates="deployment",
        lane="create",
        proof=Proof("released", list="list_deployments"),
        method="POST",
        path="/deployments",
        summary="Create a deployment: a model version on dedicated hardware, with scaling bounds.",
        parameters=(
            _body("name", "Name of the deployment, unique in the account.", required=True),
            _body("model", "Model to run, as owner/name.", required=True),
            _body("version", "Id of the version to run, 64 hexadecimal characters.", required=True),
            _body("hardware", HARDWARE_SKU, required=True),
            _body("min_instances", MIN_INSTANCES, "integer", required=True, minimum=0),
            _body("max_instances", MAX_INSTANCES, "integer", required=True, minimum=0),
        ),
        content_type="application/json",
        returns="Deployment",
        refusals={409: "choose another name, or change the deployment of this name with update_deployment"},
        example={
            "name": "my-app-image-generator",
            "model": "stability-ai/sdxl",
            "version": "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf",
            "hardware": "gpu-t4",
            "min_instances": 0,
            "max_instances": 3,
        },
    ),
    Operation(
        name="create_deployment_prediction",
        operation_id="deployments.predictions.create",
        access="write",
        creates="prediction",
        lane="create",
        proof=LISTED_PREDICTION,
        method="POST",
        path="/deployments/{deployment_owner}/{deployment_name}/predictions",
        summary="Run the model of a deployment.",
        parameters=(*DEPLOYMENT, *RUN),
        content_type="application/json",
        returns="Prediction",
        success=(201, 202),
        blocking=True,
        note="A blocking answer may still say `starting` or `processing`; only a terminal status is final.",
        example={**_ACME, "input": {"prompt": "a bear on a bicycle, over the moon"}},
    ),
    Operation(
        name="create_file",
        operation_id="files.create",
        access="write",
        creates="file",
        lane="create",
        proof=Proof("listed", read="get_file", list="list_files"),
        method="POST",
        path="/files",
        summary="Upload a file, at most 100 MiB, to use as a model's input.",
        parameters=(
            _body("content", "The bytes of the file.", "bytes", required=True),
            _body("filename", "Name of the file, at most 255 bytes of UTF-8."),
            _body("type", "MIME type; guessed from the filename if not given."),
            _body("metadata", "Any object to keep with the file.", "object"),
        ),
        content_type="multipart/form-data",
        returns="File",
        success=(201,),
        note="The command line takes `--path FILE` instead of the content and the filename.",
        example={"content": "id,caption\n1,a red fox\n", "filename": "captions.csv", "type": "text/csv"},
    ),
    Operation(
        name="create_model",
        operation_id="models.create",
        access="write",
        creates="model",
        lane="create",
        proof=Proof("named", read="get_model", place={"model_owner": "owner", "model_name": "name"}),
        method="POST",
        path="/models",
        summary="Create an empty model, to push or train versions to.",
        parameters=(
            _body("owner", "Account that owns the model: the account of the token.", required=True),
            _body("name", "Name of the model, unique in the account.", required=True),
            _body("visibility", "Who may see and run the model.", required=True, enum=("public", "private")),
            _body("hardware", HARDWARE_SKU, required=True),
            *MODEL_LINKS,
            _body("cover_image_url", "URL of the model's cover picture."),
        ),
        content_type="application/json",
        returns="Model",
        success=(201,),
        note="An account holds at most 1,000 models.",
        refusals={
            403: "pass the token's account as the owner: see it with get_account",
            409: "choose another name, or change the model of this name with update_model",
        },
        example={"owner": "alice", "name": "hot-dog-detector", "visibility": "private", "hardware": "cpu"},
    ),
    Operation(
        name="create_model_prediction",
        operation_id="models.predictions.create",
        access="write",
        creates="prediction",
        lane="create",
        proof=LISTED_PREDICTION,
        method="POST",
        path="/models/{model_owner}/{model_name}/predictions",
        summary="Run an official model by its name, without a version.",
        parameters=(*MODEL, *RUN),
        content_type="application/json",
        returns="Prediction",
        success=(201, 202),
        blocking=True,
        refusals={404: "pass a version to create_prediction: only official models run without one"},
        note="Official models only; for any other use create_prediction with a version. A blocking answer may still "
        "say `starting` or `processing`; only a terminal status is final.",
        example={
            "model_owner": "meta",
            "model_name": "meta-llama-3-70b-instruct",
            "input": {"prompt": "Write a short poem about the weather."},
        },
    ),
    Operation(
        name="create_prediction",
        operation_id="predictions.create",
        access="write",
        creates="prediction",
        lane="create",
        proof=LISTED_PREDICTION,
        method="POST",
        path="/predictions",
        summary="Run a model version.",
        parameters=(
            _body(
                "version",
                "What to run: owner/name of an official model, owner/name:version_id, or a version id.",
                required=True,
            ),
            *RUN,
        ),
        content_type="application/json",
        returns="Prediction",
        success=(201, 202),
        blocking=True,
        note="A blocking answer may still say `starting` or `processing`; only a terminal status is final.",
        example={"version": f"replicate/hello-world:{_VERSION}", "input": {"text": "Alice"}},
    ),
    Operation(
        name="create_training",
        operation_id="trainings.create",
        access="write",
        creates="training",
        lane="create",
        proof=Proof("listed", read="get_training", list="list_trainings"),
        method="POST",
        path="/models/{model_owner}/{model_name}/versions/{version_id}/trainings",
        summary="Train a model version; the result becomes a new version of the destination.",
        parameters=(
            *MODEL,
            VERSION_ID,
            _body("destination", "The account's model that gets the new version, as owner/name.", required=True),
            _body("input", "Inputs of the training, by the names in its input schema.", "object", required=True),
            *WEBHOOKS,
        ),
        content_type="application/json",
        returns="Training",
        success=(201,),
        refusals={
            400: "choose a version that can be trained, such as one of stability-ai/sdxl",
            404: "pass a model of the account as the destination: create it with create_model",
        },
        example={
            "model_owner": "stability-ai",
            "model_name": "sdxl",
            "version_id": "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf",
            "destination": "alice/my-sdxl",
            "input": {"input_images": "https://example.com/my-input-images.zip"},
        },
    ),
    Operation(
        name="delete_deployment",
        operation_id="deployments.delete",
        access="write",
        idempotent=True,
        proof=Proof("gone", read="get_deployment"),
        method="DELETE",
        path="/deployments/{deployment_owner}/{deployment_name}",
        summary="Delete a deployment.",
        parameters=DEPLOYMENT,
        returns=None,
        success=(204,),
        answer="none",
        note="The deployment must have been offline and unused for 15 minutes.",
        refusals=dict.fromkeys(
            _REFUSED,
            "take it offline with update_deployment and min_instances = 0, and delete it after it was unused for 15 "
            "minutes",
        ),
        example=_ACME,
    ),
    Operation(
        name="delete_file",
        operation_id="files.delete",
        access="write",
        idempotent=True,
        proof=Proof("gone", read="get_file"),
        method="DELETE",
        path="/files/{file_id}",
        summary="Delete an uploaded file.",
        parameters=(FILE_ID,),
        returns=None,
        success=(204,),
        answer="none",
        example={"file_id": _FILE},
    ),
    Operation(
        name="delete_model",
        operation_id="models.delete",
        access="write",
        idempotent=True,
        proof=Proof("gone", read="get_model"),
        method="DELETE",
        path="/models/{model_owner}/{model_name}",
        summary="Delete a model.",
        parameters=MODEL,
        returns=None,
        success=(204,),
        answer="none",
        note="The model must be private, belong to the account and have no versions.",
        refusals=dict.fromkeys(
            (*_REFUSED, 403),
            "see the versions with list_model_versions and delete them with delete_model_version: only a private model "
            "of the account without versions can be deleted",
        ),
        example={"model_owner": "alice", "model_name": "hot-dog-detector"},
    ),
    Operation(
        name="delete_model_version",
        operation_id="models.versions.delete",
        access="write",
        idempotent=True,
        proof=Proof("gone", read="get_model_version"),
        method="DELETE",
        path="/models/{model_owner}/{model_name}/versions/{version_id}",
        summary="Delete a model version with its predictions and their files.",
        parameters=(*MODEL, VERSION_ID),
        returns=None,
        success=(202,),
        answer="none",
        note="The API deletes the version in the background within minutes. Its model must be private and belong to "
        "the account, and nobody else may have run, trained from or deployed the version, or overridden another "
        "version with it.",
        refusals=dict.fromkeys(
            (*_REFUSED, 403),
            "see deployments with list_deployments: the version must belong to a private model of the account, and "
            "nobody else may have run, trained from or deployed it",
        ),
        example={"model_owner": "alice", "model_name": "hot-dog-detector", "version_id": _VERSION},
    ),
    Operation(
        name="download_file",
        operation_id="files.download",
        access="read",
        method="GET",
        path="/files/{file_id}/download",
        summary="Fetch the bytes of a file through a signed link.",
        parameters=(
            FILE_ID,
            _query("owner", "User or organization that uploaded the file.", required=True),
            _query("expiry", "When the link expires, in Unix seconds.", "integer", required=True),
            _query(
                "signature",
                "Base64 of the HMAC-SHA256 of `{owner} {id} {expiry}` under the signing secret of the Files API.",
                required=True,
            ),
        ),
        returns="bytes",
        answer="bytes",
        example={
            "file_id": _FILE,
            "owner": "mattt",
            "expiry": 1708515345,
            "signature": "zuoghqlrcnw8YHywkpaXQlHsVhWen/DZ4aal76dLiOo=",
        },
    ),
    Operation(
        name="get_account",
        operation_id="account.get",
        access="read",
        method="GET",
        path="/account",
        summary="Show the user or organization that the token belongs to.",
        returns="Account",
    ),
    Operation(
        name="get_collection",
        operation_id="collections.get",
        access="read",
        method="GET",
        path="/collections/{collection_slug}",
        summary="Show a collection with its models.",
        parameters=(_path("collection_slug", "Slug of the collection, such as super-resolution."),),
        returns="Collection",
        example={"collection_slug": "super-resolution"},
    ),
    Operation(
        name="get_default_webhook_secret",
        operation_id="webhooks.default.secret.get",
        access="read",
        placeholder={"key": "whsec_cmVwbGF5cyBzaWduIG5vdGhpbmc="},  # of the right form; signs nothing
        method="GET",
        path="/webhooks/default/secret",
        summary="Show the key that signs the account's webhooks.",
        returns="WebhookSecret",
        secret=True,
    ),
    Operation(
        name="get_deployment",
        operation_id="deployments.get",
        access="read",
        method="GET",
        path="/deployments/{deployment_owner}/{deployment_name}",
        summary="Show a deployment with its current release.",
        parameters=DEPLOYMENT,
        returns="Deployment",
        example=_ACME,
    ),
    Operation(
        name="get_file",
        operation_id="files.get",
        access="read",
        method="GET",
        path="/files/{file_id}",
        summary="Show an uploaded file: size, type, checksums, expiry.",
        parameters=(FILE_ID,),
        returns="File",
        example={"file_id": _FILE},
    ),
    Operation(
        name="get_model",
        operation_id="models.get",
        access="read",
        method="GET",
        path="/models/{model_owner}/{model_name}",
        summary="Show a model with its latest version and input schema.",
        parameters=MODEL,
        returns="Model",
        example=_HELLO,
    ),
    Operation(
        name="get_model_readme",
        operation_id="models.readme.get",
        access="read",
        method="GET",
        path="/models/{model_owner}/{model_name}/readme",
        summary="Fetch a model's README, Markdown as plain text.",
        parameters=MODEL,
        returns="text",
        answer="text",
        example=_HELLO,
    ),
    Operation(
        name="get_model_version",
        operation_id="models.versions.get",
        access="read",
        method="GET",
        path="/models/{model_owner}/{model_name}/versions/{version_id}",
        summary="Show a version with the schemas of its input and output.",
        parameters=(*MODEL, VERSION_ID),
        returns="Version",
        example={**_HELLO, "version_id": _VERSION},
    ),
    Operation(
        name="get_prediction",
        operation_id="predictions.get",
        access="read",
        method="GET",
        path="/predictions/{prediction_id}",
        summary="Show a prediction: status, output, logs, metrics.",
        parameters=(PREDICTION_ID,),
        returns="Prediction",
        note="The API removes input, output, logs and files an hour after the prediction ended.",
        example={"prediction_id": _PREDICTION},
    ),
    Operation(
        name="get_training",
        operation_id="trainings.get",
        access="read",
        method="GET",
        path="/trainings/{training_id}",
        summary="Show a training: status, logs, and the new version.",
        parameters=(TRAINING_ID,),
        returns="Training",
        example={"training_id": _TRAINING},
    ),
    Operation(
        name="list_collections",
        operation_id="collections.list",
        access="read",
        method="GET",
        path="/collections",
        summary="List the collections of models.",
        parameters=(CURSOR,),
        returns="Page<Collection>",
    ),
    Operation(
        name="list_deployments",
        operation_id="deployments.list",
        access="read",
        method="GET",
        path="/deployments",
        summary="List the account's deployments.",
        parameters=(CURSOR,),
        returns="Page<Deployment>",
    ),
    Operation(
        name="list_files",
        operation_id="files.list",
        access="read",
        method="GET",
        path="/files",
        summary="List the files the account has uploaded.",
        parameters=(CURSOR,),
        returns="Page<File>",
    ),
    Operation(
        name="list_hardware",
        operation_id="hardware.list",
        access="read",
        method="GET",
        path="/hardware",
        summary="List the hardware that models run on.",
        returns="Hardware[]",
    ),
    Operation(
        name="list_model_examples",
        operation_id="models.examples.list",
        access="read",
        method="GET",
        path="/models/{model_owner}/{model_name}/examples",
        summary="List the predictions a model's author shows as examples.",
        parameters=(*MODEL, CURSOR),
        returns="Page<Prediction>",
        example=_HELLO,
    ),
    Operation(
        name="list_model_versions",
        operation_id="models.versions.list",
        access="read",
        method="GET",
        path="/models/{model_owner}/{model_name}/versions",
        summary="List a model's versions, newest first.",
        parameters=(*MODEL, CURSOR),
        returns="Page<Version>",
        note="Official models show no versions and answer 404.",
        refusals={404: "official models have no list of versions: run them by name"},
        example=_HELLO,
    ),
    Operation(
        name="list_models",
        operation_id="models.list",
        access="read",
        method="GET",
        path="/models",
        summary="List public models.",
        parameters=(
            _query(
                "sort_by",
                "Field to sort by.",
                enum=("model_created_at", "latest_version_created_at"),
                default="latest_version_created_at",
            ),
            _query("sort_direction", "Sort order.", enum=("asc", "desc"), default="desc"),
            CURSOR,
        ),
        returns="Page<Model>",
        example={"sort_by": "model_created_at", "sort_direction": "desc"},
    ),
    Operation(
        name="list_predictions",
        operation_id="predictions.list",
        access="read",
        method="GET",
        path="/predictions",
        summary="List the account's predictions, newest first, 100 per page.",
        parameters=(
            _query("created_after", "Only predictions created at or after this time, ISO 8601.", format="date-time"),
            _query("created_before", "Only predictions created before this time, ISO 8601.", format="date-time"),
            _query("source", "Only predictions made on the website.", enum=("web",)),
            CURSOR,
        ),
        returns="Page<Prediction>",
        example={"created_after": "2026-01-01T00:00:00Z"},
    ),
    Operation(
        name="list_trainings",
        operation_id="trainings.list",
        access="read",
        method="GET",
        path="/trainings",
        summary="List the account's trainings, newest first, 100 per page.",
        parameters=(CURSOR,),
        returns="Page<Training>",
    ),
    Operation(
        name="search",
        operation_id="search",
        access="read",
        method="GET",
        path="/search",
        summary="Search public models, collections and documentation pages.",
        parameters=(
            _query("query", "Text to search for.", required=True),
            _query("limit", "Maximum number of models.", "integer", minimum=1, maximum=50, default=20),
        ),
        returns="SearchResult",
        note="The API marks this function as beta.",
        example={"query": "nano banana", "limit": 5},
    ),
    Operation(
        name="search_models",
        operation_id="models.search",
        access="read",
        method="QUERY",
        path="/models",
        summary="Search public models by text.",
        parameters=(_body("body", "Text to search for, sent unchanged.", required=True), CURSOR),
        content_type="text/plain",
        returns="Page<Model>",
        note="The HTTP method is QUERY.",
        example={"body": "hello"},
    ),
    Operation(
        name="update_deployment",
        operation_id="deployments.update",
        access="write",
        idempotent=True,
        proof=Proof("released", read="get_deployment"),
        method="PATCH",
        path="/deployments/{deployment_owner}/{deployment_name}",
        summary="Change a deployment's version, hardware or scaling bounds; this creates a new release.",
        parameters=(
            *DEPLOYMENT,
            _body("version", "Id of the version to run."),
            _body("hardware", HARDWARE_SKU),
            _body("min_instances", MIN_INSTANCES, "integer", minimum=0),
            _body("max_instances", MAX_INSTANCES, "integer", minimum=0),
        ),
        content_type="application/json",
        returns="Deployment",
        example={**_ACME, "min_instances": 3, "max_instances": 10},
    ),
    Operation(
        name="update_model",
        operation_id="models.update",
        access="write",
        idempotent=True,
        proof=Proof("repeat"),
        method="PATCH",
        path="/models/{model_owner}/{model_name}",
        summary="Change what a model's page says: description, README, links.",
        parameters=(
            *MODEL,
            *MODEL_LINKS,
            _body("readme", "README of the model, Markdown."),
            _body("weights_url", "URL of the weights."),
        ),
        content_type="application/json",
        returns="Model",
        example={"model_owner": "alice", "model_name": "hot-dog-detector", "description": "Finds hot dogs."},
    ),
)

# A fetch by URL is not a function of the API, but passes the same gate.
_URL = _path("url", "URL from an answer of the API.")
STREAM = Operation(
    name="stream",
    operation_id="predictions.stream",
    access="read",
    lane="stream",
    method="GET",
    path="{url}",
    summary="Follow the output of a prediction as the model produces it.",
    parameters=(_URL, _sent("last_event_id", "Last-Event-ID", "Id of the event after which to continue.")),
    returns=None,
    answer="bytes",
)
DOWNLOAD = Operation(
    name="download",
    operation_id="predictions.download",
    access="read",
    method="GET",
    path="{url}",
    summary="Fetch a file that a prediction made.",
    parameters=(
        _URL,
        _sent("range", "Range", "The missing part of the file."),
        _sent("if_range", "If-Range", "The ETag that the file must still have."),
    ),
    returns=None,
    answer="bytes",
)
TRANSFERS = (STREAM, DOWNLOAD)


def checked(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The same operations. Raises a `ValueError` for an operation with missing or contradictory facts."""
    for operation in operations:
        if (operation.access == "write") != (operation.proof is not None):
            raise ValueError(f"{operation.name}: a write needs a proof, and a read has none")
        if bool(operation.creates) != (operation.lane == "create"):
            raise ValueError(f"{operation.name}: an operation that creates something belongs to the lane `create`")
        if operation.secret != (operation.placeholder is not None):
            raise ValueError(f"{operation.name}: a secret answer needs a placeholder for cassettes")
    return operations


BY_NAME: dict[str, Operation] = {name: operation for operation in checked(OPERATIONS) for name in operation.names}


def find(name: str) -> Operation | None:
    """The operation of that name; a leading ``replicate.`` is accepted, as the command line writes it."""
    return BY_NAME.get(name) or BY_NAME.get(name.removeprefix(f"{PROVIDER}."))
