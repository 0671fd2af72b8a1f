"""Public models: served from their JSON, and run according to their schemas and default examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec

from kosmolua.emulator.clock import parse_time
from kosmolua.emulator.documents import Documents, Facts
from kosmolua.emulator.jobs import Job
from kosmolua.emulator.media import FILMS, SOUNDS
from kosmolua.emulator.models import TRAINER, Behaviour, Outcome, Work
from kosmolua.emulator.schema import alike, plain, redacted, resolve, with_defaults
from kosmolua.emulator.synthesis import Synthesis, is_link
from kosmolua.emulator.world import Model, Version

TOKEN_SECONDS = 0.015
_LENGTHS = ("max_tokens", "max_new_tokens", "max_length", "max_output_tokens", "max_completion_tokens")
_TOKENS = 64
_PICTURE_SECONDS, _SOUND_SECONDS, _FILM_SECONDS = 1.0, 2.0, 10.0
_STEPS = 4
_MOST_TOKENS = 512


class PublishedVersion(Version):
    """The version in a model's document, returned unchanged."""

    document: Mapping[str, Any] = MappingProxyType({})

    def show(self) -> dict[str, Any]:
        return dict(self.document)


class PublishedModel(Model):
    """A public model, made from its document's facts. The document is read when more is needed."""

    documents: Documents
    facts: Facts

    @property
    def latest(self) -> Version | None:
        document = self.documents.document(self.slug)
        shown = document.get("latest_version")
        return _version(shown, document.get("default_example"), self) if isinstance(shown, Mapping) else None

    @property
    def updated(self) -> float:
        version = self.facts.latest_version
        return _seconds(version.created_at) if version else self.created

    @property
    def listed(self) -> list[Version]:
        return [self.latest] if self.latest else []

    def version(self, version_id: str) -> Version | None:
        latest = self.latest
        return latest if latest and latest.id == version_id else None

    def show(self, now: float, origin: str) -> Any:  # noqa: ARG002 - the document never changes
        return msgspec.Raw(self.documents.raw(self.slug))

    def show_examples(self) -> list[dict[str, Any]]:
        example = self.documents.document(self.slug).get("default_example")
        return [dict(example)] if isinstance(example, Mapping) and "id" in example else []


def _model(documents: Documents, facts: Facts) -> PublishedModel:
    # Older documents do not say whether a model runs by name: their models run by name and by version.
    model = PublishedModel(
        facts.owner,
        facts.name,
        _seconds(facts.created_at),
        {"description": facts.description},
        facts.visibility,
        official=facts.is_official is not False,
    )
    model.hides_versions = facts.is_official is True
    model.readme = f"# {facts.slug}\n\n{facts.description or ''}\n"
    model.documents, model.facts = documents, facts
    return model


def _seconds(moment: str) -> float:
    try:
        return parse_time(moment)
    except ValueError:
        return 0.0


class Models(MutableMapping[str, Model]):
    """The emulator's own models and public models, by ``owner/name``. A public model replaces an own one."""

    def __init__(self, own: Mapping[str, Model], documents: Documents | None = None) -> None:
        self._places = dict(documents.places) if documents else {}
        self._documents = documents
        self._own = {slug: model for slug, model in own.items() if slug not in self._places}
        self._opened: dict[str, PublishedModel] = {}
        self._versions: dict[str, str] = {}  # version id -> name of the public model
        self._examples: dict[str, str] = {}

    def __getitem__(self, slug: str) -> Model:
        if self._documents is None or slug not in self._places:
            return self._own[slug]
        return self._opened.get(slug) or self._open(self._documents, self._documents.fact(slug))

    def __setitem__(self, slug: str, model: Model) -> None:
        self._own[slug] = model

    def put(self, model: Model) -> None:
        """Add a model, replacing a public model with the same name."""
        self._places.pop(model.slug, None)
        self._own[model.slug] = model

    def __delitem__(self, slug: str) -> None:
        del self._own[slug]

    def __contains__(self, slug: object) -> bool:
        return slug in self._own or slug in self._places

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._places

    def __len__(self) -> int:
        return len(self._own) + len(self._places)

    def find_version(self, version_id: str) -> tuple[Model, Version] | None:
        for model in self._own.values():
            if (version := model.version(version_id)) is not None:
                return model, version
        slug = self._versions.get(version_id) or self._complete().get(version_id)
        found = self[slug].version(version_id) if slug else None
        return (self[slug], found) if slug and found else None

    def find_example(self, job_id: str) -> Job | None:
        """An example of one of the emulator's own models."""
        examples = (job for model in self._own.values() for job in model.examples)
        return next((job for job in examples if job.id == job_id), None)

    def published_example(self, job_id: str) -> dict[str, Any] | None:
        """The default example with that id, as it is in the document."""
        if job_id not in self._examples:
            self._complete()
        slug = self._examples.get(job_id)
        model = self[slug] if slug else None
        return model.show_examples()[0] if isinstance(model, PublishedModel) else None

    def _complete(self) -> dict[str, str]:
        """The names of all public models, by version id."""
        if self._documents and len(self._opened) < len(self._places):
            for facts in self._documents.facts():
                if facts.slug in self._places and facts.slug not in self._opened:
                    self._open(self._documents, facts)
        return self._versions

    def _open(self, documents: Documents, facts: Facts) -> PublishedModel:
        model = self._opened[facts.slug] = _model(documents, facts)
        if facts.latest_version:
            self._versions[facts.latest_version.id] = facts.slug
        if facts.default_example:
            self._examples[facts.default_example.id] = facts.slug
        return model


def _version(shown: Mapping[str, Any], example: Any, model: PublishedModel) -> Version:
    schema = shown.get("openapi_schema")
    schema = schema if isinstance(schema, dict) else {}
    example = example if isinstance(example, Mapping) else {}
    given = example.get("input")
    made = PublishedVersion(str(shown.get("id", "")), model.updated, _behaviour(schema, example), schema)
    made.document = shown
    if resolve(schema, "TrainingInput"):
        made.trainer = TRAINER
    if isinstance(given, Mapping) and given:
        made.accepts = given
    return made


def _behaviour(schema: Mapping[str, Any], example: Mapping[str, Any]) -> Behaviour:
    output = plain(resolve(schema, "Output"), schema)
    items = plain(output.get("items"), schema)
    text = items.get("type") == "string" and "format" not in items
    streams = text and output.get("x-cog-array-display") == "concatenate"
    compute = partial(_compute, schema, example, streams=streams)
    kinds = {name.rpartition(".")[2] for name in _links(example.get("output"))}
    slow = _FILM_SECONDS if kinds & FILMS else _SOUND_SECONDS if kinds & SOUNDS else _PICTURE_SECONDS
    if streams:
        return Behaviour(compute, runs=lambda work: 0.3 + TOKEN_SECONDS * len(compute(work).output), streams=True)
    return Behaviour(compute, runs=lambda _: slow, steps=_STEPS)


def _compute(schema: Mapping[str, Any], example: Mapping[str, Any], work: Work, *, streams: bool) -> Outcome:
    shape, output = resolve(schema, "Input"), example.get("output")
    synthesis = Synthesis(schema, work.input, work.seed)
    recorded = with_defaults(shape, example.get("input") or {})
    if output is not None and alike(redacted(shape, work.input)) == alike(redacted(shape, recorded)):
        made = synthesis.repeat(output)
    elif streams:
        made = synthesis.words(_tokens(work.input))
    else:
        made = synthesis.make(resolve(schema, "Output"), output)
    if streams:
        made = [str(item) for item in made] if isinstance(made, list) else [str(made)]
    return Outcome(made, synthesis.files, units=_units(work.input, made, synthesis, streams=streams))


def _tokens(given: Mapping[str, Any]) -> int:
    asked = next((given[name] for name in _LENGTHS if type(given.get(name)) is int), _TOKENS)
    return max(1, min(asked, _MOST_TOKENS))


def _units(given: Mapping[str, Any], made: Any, synthesis: Synthesis, *, streams: bool) -> dict[str, float]:
    """The units that an official model bills: tokens, images or seconds, depending on the output."""
    words = len(str(given.get("prompt", "")).split())
    if streams:
        return {"token_input_count": words, "token_output_count": len(made)}
    kinds = [content_type.partition("/")[0] for content_type, _ in synthesis.files.values()]
    if not kinds:
        characters = len(str(given.get("text", given.get("prompt", ""))))
        return {"character_input_count": characters} if isinstance(made, str) else {"generic_output_count": 1}
    if (count := kinds.count("video")) > 0:
        return {"video_output_count": count, "video_output_duration_seconds": synthesis.seconds * count}
    if (count := kinds.count("audio")) > 0:
        return {"audio_output_count": count, "audio_output_duration_seconds": synthesis.seconds * count}
    count = kinds.count("image")
    return {"image_output_count": count} if count else {"generic_output_count": len(kinds)}


def _links(output: Any) -> Iterator[str]:
    if isinstance(output, list | dict):
        for item in output.values() if isinstance(output, dict) else output:
            yield from _links(item)
    elif is_link(output):
        yield str(output).lower()
