"""The API's answers as types, with facts from the API's documentation next to fields that need them.

The client returns answers unchanged; these types describe them, for the reference and for typed readers. They accept
unknown fields, because the API grows.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from kosmolua.replicate.catalogue import Operation

T = TypeVar("T")


def _says(text: str) -> Meta:
    return Meta(description=text)


Time = Annotated[str, _says("RFC 3339.")]
MaybeTime = Annotated[str | None, _says("RFC 3339; null until then.")]
Status = Literal["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
STATUSES: tuple[str, ...] = get_args(Status)
FINAL = tuple(status for status in STATUSES if status not in {"starting", "processing"})
TERMINAL: frozenset[str] = frozenset(FINAL)
StatusField = Annotated[
    Status, _says(f"Final statuses: {', '.join(FINAL)}. `aborted` means that the job ended before it started.")
]
Metrics = Annotated[
    dict[str, Any], _says("Seconds in `predict_time` and `total_time`, and counts that the model reports.")
]
MaybeLink = Annotated[str | UnsetType | None, _says("URL.")]


class JobUrls(Struct, frozen=True, kw_only=True):
    get: Annotated[str, _says("The API's URL of the object.")]
    cancel: Annotated[str, _says("URL that cancels the job with a POST request.")]
    web: Annotated[str | UnsetType, _says("The job's page on the website.")] = UNSET
    stream: Annotated[str | UnsetType, _says("Server-sent events, for models that stream.")] = UNSET


class Prediction(Struct, frozen=True, kw_only=True):
    """One run of a model."""

    id: str
    model: Annotated[str, _says("As owner/name.")]
    version: Annotated[str, _says('Version id; "hidden" if the model does not show it.')]
    status: StatusField
    input: Annotated[dict[str, Any], _says("The inputs.")]
    output: Annotated[Any, _says("The output, of any type; null until there is one, and after removal.")] = None
    error: Annotated[str | None, _says("Why it failed.")] = None
    logs: Annotated[str | None, _says("The text that the model printed.")] = None
    created_at: Time
    started_at: MaybeTime = None
    completed_at: MaybeTime = None
    deadline: Annotated[str | UnsetType | None, _says("RFC 3339; the API cancels the prediction then.")] = UNSET
    deployment: Annotated[str | UnsetType | None, _says("Deployment that ran the prediction, as owner/name.")] = UNSET
    source: Annotated[Literal["web", "api"] | UnsetType, _says("Where it was made.")] = UNSET
    data_removed: Annotated[
        bool | UnsetType, _says("Whether input, output and logs are deleted, which happens after an hour.")
    ] = UNSET
    metrics: Metrics | UnsetType | None = UNSET
    urls: JobUrls


class Weights(Struct, frozen=True, kw_only=True):
    version: Annotated[str | UnsetType, _says("The new version, as owner/name:id.")] = UNSET
    weights: Annotated[str | UnsetType | None, _says("URL of the trained weights.")] = UNSET


class Training(Struct, frozen=True, kw_only=True):
    """One training of a model version."""

    id: str
    model: Annotated[str, _says("The model that the training started from, as owner/name.")]
    version: Annotated[str, _says("The version that the training started from.")]
    destination: Annotated[str | UnsetType, _says("The model that gets the new version.")] = UNSET
    status: StatusField
    input: Annotated[dict[str, Any], _says("The inputs of the training.")]
    output: Weights | None = None
    error: Annotated[str | None, _says("Why it failed.")] = None
    logs: Annotated[str | None, _says("The text that the training printed.")] = None
    created_at: Time
    started_at: MaybeTime = None
    completed_at: MaybeTime = None
    source: Annotated[Literal["web", "api"] | UnsetType, _says("Where it was made.")] = UNSET
    data_removed: Annotated[bool | UnsetType, _says("Whether input, output and logs are deleted.")] = UNSET
    metrics: Metrics | UnsetType | None = UNSET
    urls: JobUrls


class Version(Struct, frozen=True, kw_only=True):
    """One published state of a model."""

    id: Annotated[str, _says("64 hexadecimal characters.")]
    created_at: Time
    cog_version: Annotated[str | UnsetType | None, _says("Version of Cog that built the model.")] = UNSET
    openapi_schema: Annotated[
        dict[str, Any] | None, _says("OpenAPI; `components.schemas.Input` and `.Output` describe input and output.")
    ] = None


class Model(Struct, frozen=True, kw_only=True):
    """A model's page."""

    owner: str
    name: str
    url: Annotated[str, _says("The model's page on the website.")]
    description: Annotated[str | None, _says("What the model does.")] = None
    visibility: Annotated[Literal["public", "private"], _says("Who may see and run the model.")]
    is_official: Annotated[bool | UnsetType, _says("Whether the model runs by name, without a version.")] = UNSET
    run_count: Annotated[int, _says("Predictions so far.")]
    github_url: MaybeLink = UNSET
    paper_url: MaybeLink = UNSET
    license_url: MaybeLink = UNSET
    cover_image_url: MaybeLink = UNSET
    default_example: Prediction | UnsetType | None = UNSET
    latest_version: Version | UnsetType | None = UNSET


class Account(Struct, frozen=True, kw_only=True):
    """A user or an organization."""

    type: Literal["user", "organization"]
    username: str
    name: Annotated[str | None, _says("Display name.")] = None
    github_url: MaybeLink = UNSET
    avatar_url: MaybeLink = UNSET


class Scaling(Struct, frozen=True, kw_only=True):
    hardware: Annotated[str, _says("SKU, as list_hardware lists it.")]
    min_instances: Annotated[int, _says("Lower bound of automatic scaling.")]
    max_instances: Annotated[int, _says("Upper bound of automatic scaling.")]


class Release(Struct, frozen=True, kw_only=True):
    """The configuration of a deployment from one change to the next."""

    number: Annotated[int, _says("Counts from 1.")]
    model: Annotated[str, _says("As owner/name.")]
    version: Annotated[str, _says("Version id.")]
    created_at: Time
    created_by: Account
    configuration: Scaling


class Deployment(Struct, frozen=True, kw_only=True):
    """A model version on dedicated hardware."""

    owner: str
    name: str
    current_release: Release


class Collection(Struct, frozen=True, kw_only=True):
    """Models that belong together, chosen by Replicate."""

    name: str
    slug: Annotated[str, _says("The name to pass to get_collection.")]
    description: str
    full_description: Annotated[str | UnsetType | None, _says("Markdown; only in answers of get_collection.")] = UNSET
    models: Annotated[list[Model] | UnsetType, _says("Only in answers of get_collection.")] = UNSET


class Hardware(Struct, frozen=True, kw_only=True):
    """Hardware that a model can run on."""

    name: str
    sku: Annotated[str, _says("The name to pass to other functions.")]


class Checksums(Struct, frozen=True, kw_only=True):
    sha256: Annotated[str, _says("Hexadecimal.")]
    md5: Annotated[str | UnsetType, _says("Hexadecimal.")] = UNSET


class FileUrls(Struct, frozen=True, kw_only=True):
    get: Annotated[str, _says("The URL to pass as an input of a model.")]


class File(Struct, frozen=True, kw_only=True):
    """The facts about an uploaded file."""

    id: str
    name: Annotated[str | UnsetType, _says("The name given at upload.")] = UNSET
    content_type: Annotated[str, _says("MIME type.")]
    size: Annotated[int, _says("Bytes.")]
    etag: Annotated[str | UnsetType, _says("Changes with the content.")] = UNSET
    checksums: Checksums
    metadata: Annotated[dict[str, Any], _says("The metadata uploaded with the file.")]
    created_at: Time
    expires_at: Annotated[str | None, _says("RFC 3339; the file is deleted then.")] = None
    urls: FileUrls


class MatchNotes(Struct, frozen=True, kw_only=True):
    generated_description: Annotated[str | UnsetType | None, _says("Written by a model.")] = UNSET
    tags: list[str] | UnsetType = UNSET
    score: Annotated[float | UnsetType | None, _says("Higher means a better match.")] = UNSET


class Match(Struct, frozen=True, kw_only=True):
    model: Model
    metadata: MatchNotes


class Link(Struct, frozen=True, kw_only=True):
    name: str
    href: str


class SearchResult(Struct, frozen=True, kw_only=True):
    """The results of a search."""

    query: Annotated[str, _says("The text that was searched for.")]
    models: list[Match]
    collections: list[Collection]
    pages: Annotated[list[Link], _says("Pages of the documentation.")]


class WebhookSecret(Struct, frozen=True, kw_only=True):
    """The key that signs webhooks."""

    key: Annotated[str, _says("`whsec_` and Base64. A secret.")]


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    next: Annotated[str | None, _says("URL of the next page; pass its `cursor` to the next call.")] = None
    previous: Annotated[str | None, _says("URL of the previous page.")] = None
    results: list[T]


BY_NAME: dict[str, type[Struct]] = {
    kind.__name__: kind
    for kind in (
        Prediction, Training, Model, Version, Deployment, Release, Account, Collection, Hardware, File, SearchResult,
        WebhookSecret,
    )
}  # fmt: skip


def result_type(operation: Operation) -> Any:
    """The type of an operation's answer: a Struct, a `Page` or list of them, str, bytes, or NoneType."""
    returns = operation.returns
    if returns in {None, "text", "bytes"}:
        return {"text": str, "bytes": bytes}.get(returns or "", type(None))
    return _generic(returns or "")


def _generic(returns: str) -> Any:
    if returns.startswith("Page<"):
        return Page[BY_NAME[returns[5:-1]]]  # type: ignore[misc]  # the name decides which
    if returns.endswith("[]"):
        return list[BY_NAME[returns[:-2]]]  # type: ignore[misc]  # as above
    return BY_NAME[returns]
