"""The models and versions that run on cog servers."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from kosmolua.emulator.clock import Clock, rfc3339
from kosmolua.emulator.cog.job import CogJob
from kosmolua.emulator.cog.server import CogServer, Facts
from kosmolua.emulator.cog.values import PREDICTION, TRAINING, Kind, streamed
from kosmolua.emulator.cog.wire import CogError
from kosmolua.emulator.models import Behaviour, ModelError, Outcome, Work
from kosmolua.emulator.schema import resolve
from kosmolua.emulator.world import Model, Version, World
from kosmolua.errors import UsageError

STARTING = 5.0
"""Seconds to wait for a server that does not yet return its schema."""
TRAINS = "python -m cog.server.http --x-mode train"
FRESH = 1.0  # seconds until a server is asked for its schema again
_NAME = re.compile(r"([a-z0-9][a-z0-9._-]*)/([a-z0-9][a-z0-9._-]*)=(.+)", re.DOTALL)
_sorted = msgspec.json.Encoder(order="sorted").encode


class CogVersion(Version):
    """A server's state when its schema was read. A prediction uses whatever the server runs when it starts."""

    server: CogServer
    training_server: CogServer | None = None  # runs trainings
    cog_version: str
    grows: bool

    def runner(self, kind: Kind) -> CogServer | None:
        return self.server if kind is PREDICTION else self.training_server

    def trained(self, version_id: str, created: float) -> Version:
        """The version that a training makes. It runs on the same server, which does not have the trained weights."""
        made = CogVersion(version_id, created, self.behaviour, self.schema, self.trainer)
        made.server, made.training_server = self.server, self.training_server
        made.cog_version, made.grows = self.cog_version, self.grows
        return made

    def show(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": rfc3339(self.created),
            "cog_version": self.cog_version,
            "openapi_schema": self.schema,
        }


class CogModel(Model):
    """A model with a version for each schema that its server has had. It can be run by name or by version."""

    server: CogServer
    training_server: CogServer | None = None
    looked: float = 0.0

    def close(self) -> None:
        for server in (self.server, self.training_server):
            if server:
                server.close()

    def show(self, now: float, origin: str) -> dict[str, Any]:
        return {**super().show(now, origin), "is_official": False}

    def is_meant(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the name or version in these arguments refers to this model."""
        named = (arguments.get("model_owner"), arguments.get("model_name")) == (self.owner, self.name)
        version = str(arguments.get("version", ""))
        return named or version.startswith(self.slug) or self.version(version) is not None

    def refresh(self, lock: threading.RLock, now: float) -> None:
        """Check whether the server has changed, at most once a second. Do not call this under the lock."""
        if time.monotonic() - self.looked < FRESH or not self.server.is_idle:
            return
        self.looked = time.monotonic()
        try:
            version = _version(self, self.server.look(FRESH), now)
        except CogError:
            return  # keep the last known schema; a prediction reports that the server is gone
        with lock:
            if not self.latest or self.latest.id != version.id:
                self.versions.append(version)


def add_cogs(world: World, cogs: Iterable[str], lock: threading.RLock, clock: Clock) -> None:
    """Add a model for each ``owner/name=URL`` or ``owner/name=URL,URL``: the second server runs its trainings.

    Raises a `UsageError` if an entry is invalid or its server is not a cog server.
    """
    for spec in cogs:
        match = _NAME.fullmatch(spec)
        if not match:
            raise UsageError(
                f"--cog: expected owner/name=URL, got {spec}", hint="such as me/model=http://127.0.0.1:5000"
            )
        owner, name, urls = match.groups()
        url, comma, second = urls.partition(",")
        server = _connected(url, lock, clock)
        about = {"description": f"A cog server at {server.wire.url}"}
        model = CogModel(owner, name, clock.time(), about, official=True)
        model.server, model.looked = server, time.monotonic()
        model.training_server = _training_server(second, server, lock, clock) if comma else None
        model.versions.append(_version(model, server.facts, clock.time()))
        model.readme = f"# {owner}/{name}\n\nRuns on the cog server at {server.wire.url}.\n"
        world.models.put(model)
        world.cogs[model.slug] = model


def _training_server(url: str, server: CogServer, lock: threading.RLock, clock: Clock) -> CogServer:
    if url.rstrip("/") == server.wire.url:
        raise UsageError(
            f"--cog: {url} cannot run both predictions and trainings", hint=f"start a second server: {TRAINS}"
        )
    trainer = _connected(url, lock, clock, TRAINING)
    if not resolve(trainer.facts.schema, TRAINING.input):
        raise UsageError(f"--cog: cog at {url} has no train function", hint="add train: to cog.yaml")
    return trainer


def _connected(url: str, lock: threading.RLock, clock: Clock, kind: Kind = PREDICTION) -> CogServer:
    until = time.monotonic() + STARTING
    while True:
        try:
            return CogServer(url, lock, clock, kind)
        except CogError as error:
            if time.monotonic() > until:
                raise UsageError(f"--cog: {error}", hint="start it first: cog serve -p 5000") from None
            time.sleep(0.1)


def _version(model: CogModel, facts: Facts, now: float) -> CogVersion:
    server = model.server
    grows, streams = streamed(facts.schema)
    behaviour = Behaviour(_unused, runs=lambda _: 1.0, streams=streams)
    name = hashlib.sha256(_sorted([server.wire.url, facts.version, facts.schema])).hexdigest()
    version = CogVersion(name, now, behaviour, facts.schema)
    version.server, version.training_server = server, model.training_server
    version.cog_version, version.grows = facts.version, grows
    if resolve(facts.schema, TRAINING.input):
        version.trainer = Behaviour(_unused, runs=lambda _: 1.0)
    return version


def _unused(_: Work) -> Outcome:
    raise ModelError("the prediction never reached the cog server (simulated fault)")


def make_cog_job(
    world: World, version: CogVersion, server: CogServer, job_id: str, model: str, shown: Mapping[str, Any], now: float
) -> CogJob:
    job = CogJob(
        job_id,
        model,
        version.id,
        version.behaviour,
        Work({}, 0),
        shown,
        now,
        0.0,
        0.0,
        schema=version.schema if server is version.server else server.facts.schema,
        kind=server.kind,
        grows=version.grows and server is version.server,
    )
    job.on_end = partial(_ended, world, server)
    return job


def _ended(world: World, server: CogServer, job: CogJob) -> None:
    world.expire(job)
    server.keep(job)
