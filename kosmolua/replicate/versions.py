"""Resolves a reference to a version with its schema. Each name is requested once; schemas are cached."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from threading import Lock
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import KosmoError, UsageError
from kosmolua.replicate.inputs import Inputs, inputs_of
from kosmolua.replicate.outputs import output_kind
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.token import looks_like_token

MAX_SCHEMA = 4 * 1024 * 1024  # bytes; larger schemas are not read, so that every input is accepted
MAX_KEPT, MAX_KEPT_BYTES = 256, 16 * 1024 * 1024  # versions, and bytes of their schemas, in memory
_LONGEST_ID = 64
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}"
_ID = re.compile(r"[0-9a-f]{64}")
_REFERENCE = re.compile(
    rf"(?P<deployment>deployments/)?(?P<owner>{_NAME})/(?P<name>{_NAME})(?::(?P<version>[0-9a-f]{{1,64}}))?"
)

Call = Callable[[str, dict[str, Any]], Any]
"""Calls a function of the API, like `Session.call`, and returns its data."""


class Reference(Struct, frozen=True):
    """A model, one of its versions, or a deployment. For a bare version id the model is unknown."""

    owner: str = ""
    name: str = ""
    version: str = ""
    deployment: bool = False


class Version(Struct, frozen=True, dict=True):
    """A version and its unchanged ``openapi_schema``, None if the API has none. ``official`` says whether the model
    runs without a version; None if unknown.
    """

    id: str
    schema: Any
    official: bool | None = None
    size: int = 0  # bytes of the schema as JSON

    @cached_property
    def inputs(self) -> Inputs:
        return inputs_of(self.schema)

    @cached_property
    def training(self) -> Inputs:
        """The inputs of a training."""
        return inputs_of(self.schema, "TrainingInput")

    @cached_property
    def output(self) -> dict[str, Any]:
        """How to show the output; see `output_kind`."""
        return output_kind(self.schema)


def _searched(text: str) -> str:
    """The words to search for instead of a malformed reference: the text if it is a short name, else a placeholder."""
    return text if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,60}", text) else "WORDS"


def parse(text: str) -> Reference:
    """Parse owner/name, owner/name:version, deployments/owner/name or a bare version id. Raises a `UsageError`."""
    if _ID.fullmatch(text):
        return Reference(version=text)
    match = _REFERENCE.fullmatch(text)
    if match is None or (match["deployment"] and match["version"]):
        found = "what looks like a token" if looks_like_token(text) else repr(text[:100])
        raise UsageError(
            f"expected owner/name or owner/name:version, got {found}",
            hint=f"find a model: kosmo models search {'WORDS' if looks_like_token(text) else _searched(text)}",
        )
    return Reference(match["owner"], match["name"], match["version"] or "", bool(match["deployment"]))


class Schemas(Protocol):
    """Keeps the schemas of versions, by id. A version's schema never changes."""

    def get(self, version: str) -> dict[str, Any] | None:
        """The schema; None if it is not cached."""

    def put(self, version: str, schema: dict[str, Any]) -> None:
        """Cache a schema. A failure is ignored: the schema is requested again."""


class _Slot:
    """The version of a reference, once found."""

    def __init__(self, reference: Reference) -> None:
        self.lock = Lock()
        self.reference = reference
        self.is_found = False
        self.version: Version | None = None
        self.size = 0


class Versions:
    """Finds versions. Thread-safe. Each name is resolved once per object, since the latest version may change. Keeps at
    most `MAX_KEPT` versions of `MAX_KEPT_BYTES` in total.
    """

    def __init__(self, call: Call, cache: Schemas | None = None) -> None:
        self._call = call
        self._cache = cache
        self._lock = Lock()
        self._found: dict[str, _Slot] = {}  # by reference, the oldest first

    def known(self, reference: str) -> Version | None:
        """Like `find`, but None on failure: for prefetching, which must not fail."""
        try:
            return self.find(reference)
        except KosmoError:
            return None

    def find(self, reference: str) -> Version | None:
        """The version; None if the model has no version, or if a bare version id is not on disk. Raises what the calls
        raise.
        """
        slot = self._found.get(reference) or self._begun(reference)
        with slot.lock:  # only one of several concurrent threads asks the API
            if not slot.is_found:
                slot.version = self._find(slot.reference)
                slot.size = slot.version.size if slot.version else 0
                slot.is_found = True
                self._trim(reference)
            return slot.version

    def _begun(self, reference: str) -> _Slot:
        meant = parse(reference)
        with self._lock:
            return self._found.setdefault(reference, _Slot(meant))

    def _trim(self, newest: str) -> None:
        """Remove the oldest entries above the limits."""
        with self._lock:
            size = sum(slot.size for slot in self._found.values())
            for reference in list(self._found):
                if (len(self._found) <= MAX_KEPT and size <= MAX_KEPT_BYTES) or reference == newest:
                    return
                size -= self._found.pop(reference).size

    def _find(self, reference: Reference) -> Version | None:
        owner, name, version = reference.owner, reference.name, reference.version
        if reference.deployment:
            deployment = self._call("get_deployment", {"deployment_owner": owner, "deployment_name": name})
            release = mapping(mapping(deployment).get("current_release"))
            (owner, _, name), version = str(release.get("model")).partition("/"), str(release.get("version"))
        if version:
            return self._one(owner, name, version)
        return self.keep(mapping(self._call("get_model", {"model_owner": owner, "model_name": name})))

    def keep(self, model: Mapping[str, Any]) -> Version | None:
        """The latest version in an answer of get_model."""
        found, official = self._read(model.get("latest_version")), model.get("is_official")
        return msgspec.structs.replace(found, official=official) if found and isinstance(official, bool) else found

    def _one(self, owner: str, name: str, version: str) -> Version | None:
        schema = self._cache.get(version) if self._cache else None
        if schema is not None:
            return Version(version, schema, size=len(msgspec.json.encode(schema)))
        if not name:
            return None
        arguments = {"model_owner": owner, "model_name": name, "version_id": version}
        return self._read(self._call("get_model_version", arguments))

    def _read(self, answer: Any) -> Version | None:
        found = mapping(answer)
        if not isinstance(found.get("id"), str):
            return None
        schema = found.get("openapi_schema")
        size = len(msgspec.json.encode(schema))
        version = Version(found["id"][:_LONGEST_ID], schema if size <= MAX_SCHEMA else None, size=size)
        if self._cache and isinstance(version.schema, dict):
            self._cache.put(version.id, version.schema)
        return version
