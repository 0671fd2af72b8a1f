"""How to run a model: function, arguments and kind of output. The plan is made before anything costs money, by reads
that the script is allowed to make.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from kosmolua.gate.session import Session
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.conversion import Change
from kosmolua.replicate.inputs import refuse
from kosmolua.replicate.outputs import output_kind
from kosmolua.replicate.versions import Reference, Version, Versions, parse
from kosmolua.services.schemas import Cache
from kosmolua.settings import paths

MAX_EXACT = 2**53  # above this, doubles do not represent every integer


class Plans:
    """Makes plans for one account. Each name is looked up once, or not at all if ``versions`` already has it.
    Thread-safe.
    """

    def __init__(self, session: Session, account: str, versions: Versions | None = None) -> None:
        self._conversions = session.conversions
        self._versions = versions or versions_through(session, account, note=_why)

    def plan(
        self,
        reference: str,
        given: Mapping[str, Any],
        *,
        validate: bool = True,
        describe: bool = False,
        resolve: bool = False,
    ) -> dict[str, Any]:
        """``{function, arguments, output: {kind, files}, version, unsure}``: ``version`` is the version to run, if
        known; ``unsure`` means that the model may not be official. ``resolve`` is for a model that is not official: the
        plan runs the model's latest version. ``describe`` asks for the form of the output.

        With ``validate``, raises an `ArgumentError` for an input that does not match the model's schema, and adds
        ``changes``, the conversions of the input, if there are any.
        """
        meant, found = parse(reference), None
        if resolve:
            found = self._versions.find(reference)
        elif validate or describe:
            found = self._versions.known(reference)
        changes = self._fitted(reference, found, given) if validate and found else []
        official = None if found is None else found.official
        if resolve:
            official = False
        return {
            **_how(meant, found, official=official),
            "output": found.output if found else output_kind(None),
            "version": found.id if found else meant.version or None,
            **({"changes": changes} if changes else {}),
        }

    def _fitted(self, reference: str, found: Version, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The changes that the input needs, as plain data for Lua. Raises an `ArgumentError` for invalid inputs."""
        fitted = found.inputs.fitted(given)
        refuse(fitted.problems, reference)
        if fitted.changes:
            self._conversions.keep(fitted.input, fitted.note)
        return [*map(_change, fitted.changes)]


def _change(change: Change) -> dict[str, Any]:
    """One change as Lua applies it: indexes count from 1, and integers that doubles cannot represent are text."""
    path = [step + 1 if isinstance(step, int) else step for step in change.path]
    value = change.value
    if value is UNSET:
        return {"path": path}
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return {"path": path, "digits": str(value)}
    return {"path": path, "value": value}


def versions_through(session: Session, account: str, *, note: Callable[[Any], str] | None = None) -> Versions:
    """A `Versions` that uses the calls of a session."""
    cache = schemas_of(session, account)
    return Versions(lambda function, arguments: session.call(function, arguments, account, note=note).data, cache)


def schemas_of(session: Session, account: str) -> Cache | None:
    """The schemas on disk, used only for Replicate's own API: an emulator may use the same ids for other models."""
    kept = session.base_url(account) == SERVER
    return Cache(os.path.join(paths.cache_directory(os.environ), "versions")) if kept else None


def _why(found: Any) -> str:
    """The note for the log: why the host looks up a model."""
    if isinstance(found, Mapping) and found.get("is_official") is False:
        return f"{found.get('owner')}/{found.get('name')} is not an official model; its latest version is run"
    return "looked up to run it"


def _how(meant: Reference, found: Version | None, *, official: bool | None) -> dict[str, Any]:
    if meant.deployment:
        names = {"deployment_owner": meant.owner, "deployment_name": meant.name}
        return {"function": "create_deployment_prediction", "arguments": names}
    if meant.version:
        return {"function": "create_prediction", "arguments": {"version": meant.version}}
    if found and official is False:
        version = f"{meant.owner}/{meant.name}:{found.id}"
        return {"function": "create_prediction", "arguments": {"version": version}}
    names = {"model_owner": meant.owner, "model_name": meant.name}
    return {"function": "create_model_prediction", "arguments": names, "unsure": official is None}
